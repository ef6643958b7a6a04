"""ResNet v1.5 as torchvision has it, with frozen statistics."""

import os
from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from keras_detr.checkpoints import RESNET_TABLE
from keras_detr.checkpoints.counts import MOST_CHANNELS, MOST_LAYERS, check_counts
from keras_detr.layers.primitives.frozen_norm_conv2d import FrozenNormConv2D
from keras_detr.layers.primitives.initializers import kaiming_normal_fan_out
from keras_detr.layers.primitives.padded_max_pooling2d import PaddedMaxPooling2D
from keras_detr.models.backbones.backbone_checkpoint import resnet_variables
from keras_detr.models.backbones.resnet_presets import RESNET_PRESETS
from keras_detr.models.keras_cv_bases import Backbone
from keras_detr.models.presets.backbone_loading import load_backbone
from keras_detr.models.presets.model_card import backbone_card
from keras_detr.models.presets.saved_preset import save_preset
from keras_detr.models.presets.uploaded_preset import upload_preset

NUM_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
BOTTLENECK_DEPTHS = (50, 101)
BOTTLENECK_EXPANSION = 4
_NUM_STAGES = 5  # With the stem.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STANDARD_DEVIATION = (58.395, 57.12, 57.375)


@keras.saving.register_keras_serializable("keras_detr")
class ResNetBackbone(Backbone):
    """Extract features of strides 4 to 32 from RGB images.

    The stride of a bottleneck is on its 3x3 convolution, and padding is symmetric, so that
    torchvision's weights give torchvision's features. Usable in KerasCV's detectors too.

    Args:
        depth: int, 18, 34, 50 or 101.
        dilation: bool, whether the last stage keeps its resolution and dilates its convolutions
            instead (the DC5 models): "P5" then has stride 16.
        include_rescaling: bool, whether images come as 0..255 RGB and are normalized with `mean`
            and `standard_deviation` here. Otherwise they come normalized.
        mean: three floats, of red, green and blue in 0..255. Default: ImageNet's.
        standard_deviation: three floats, as `mean`.
        num_frozen_stages: int, how many stages never train, counted from the stem: 2 freezes the
            stem and the first stage, as published; 0 none. `trainable = True` doesn't thaw them.
        stackwise_num_filters: tuple of 4 ints, the width of each stage (before a bottleneck's
            expansion by 4).
        stackwise_num_blocks: tuple of 4 ints, the blocks of each stage. Default: those of `depth`.
        stem_num_filters: int, the width of the stem.
        input_shape: tuple (height, width, channels); `None` for sizes that vary.
        trainable: bool, whether the stages that aren't frozen train.
        **kwargs: of `keras.Model`.

    Call arguments:
        inputs: float or int (batch, height, width, 3).

    Returns:
        float (batch, height / 32, width / 32, channels), the features of the last stage.

    Raises:
        ValueError: `depth` is unknown, a stackwise argument doesn't have four entries, or a number
            is out of range.

    Example:
        ```python
        backbone = keras_detr.ResNetBackbone(18)
        print(backbone(np.zeros((1, 64, 96, 3), "uint8")).shape)  # (1, 2, 3, 512)
        print(backbone.pyramid_level_inputs)  # The names of the layers that give P2 to P5.
        ```

    Source: He et al. 2016; torchvision's resnet.py for version 1.5; models/backbone.py of the
        original.
    """

    def __init__(
        self,
        depth: int = 50,
        *,
        dilation: bool = False,
        include_rescaling: bool = True,
        mean: Sequence[float] = IMAGENET_MEAN,
        standard_deviation: Sequence[float] = IMAGENET_STANDARD_DEVIATION,
        num_frozen_stages: int = 2,
        stackwise_num_filters: Sequence[int] = (64, 128, 256, 512),
        stackwise_num_blocks: Sequence[int] | None = None,
        stem_num_filters: int = 64,
        input_shape: tuple[int | None, ...] = (None, None, 3),
        trainable: bool = True,
        **kwargs: Any,
    ) -> None:
        if depth not in NUM_BLOCKS:
            raise ValueError(f"`depth` must be one of {sorted(NUM_BLOCKS)}. Received: {depth!r}.")
        blocks = stackwise_num_blocks or NUM_BLOCKS[depth]
        for name, value in (("mean", mean), ("standard_deviation", standard_deviation)):
            if len(value) != 3:
                raise ValueError(
                    f"`{name}` must have 3 entries: red, green, blue. Received: {value}."
                )
        for name, value in (
            ("stackwise_num_filters", stackwise_num_filters),
            ("stackwise_num_blocks", blocks),
        ):
            if len(value) != 4:
                raise ValueError(f"`{name}` must have 4 entries, one a stage. Received: {value}.")

        if dilation not in (False, True):
            raise ValueError(f"`dilation` must be True or False. Received: {dilation!r:.80}.")
        check_counts(_NUM_STAGES, least=0, num_frozen_stages=num_frozen_stages)
        check_counts(MOST_LAYERS, stackwise_num_blocks=blocks)
        check_counts(MOST_CHANNELS, stackwise_num_filters=stackwise_num_filters)
        check_counts(MOST_CHANNELS, stem_num_filters=stem_num_filters)
        is_bottleneck = depth in BOTTLENECK_DEPTHS
        num_convolutions = 3 if is_bottleneck else 2
        images = keras.Input(shape=input_shape, name="images")
        x = images
        if include_rescaling:
            x = keras.layers.Normalization(
                mean=mean,
                variance=[deviation**2 for deviation in standard_deviation],
                dtype="float32",
                name="rescaling",
            )(x)
        x = _convolve(x, stem_num_filters, 7, "conv1", "bn1", stride=2, use_relu=True)
        x = PaddedMaxPooling2D(3, strides=2, name="maxpool")(x)
        pyramid = {}
        for stage in range(4):
            is_dilated = dilation and stage == 3
            for block in range(blocks[stage]):
                x = _residual_block(
                    x,
                    f"layer{stage + 1}_{block}",
                    stackwise_num_filters[stage],
                    is_bottleneck,
                    stride=2 if block == 0 and stage > 0 and not is_dilated else 1,
                    # The first block keeps the dilation of the stage before, which is 1.
                    dilation=2 if is_dilated and block > 0 else 1,
                )
            pyramid[f"P{stage + 2}"] = (
                f"layer{stage + 1}_{blocks[stage] - 1}_conv{num_convolutions}"
            )
        super().__init__(inputs=images, outputs=x, **kwargs)
        self.pyramid_level_inputs = pyramid
        # Under a half-precision policy images are normalized before they are rounded.
        self.autocast = False
        self.depth = depth
        self.dilation = dilation
        self.include_rescaling = include_rescaling
        self.mean = tuple(mean)
        self.standard_deviation = tuple(standard_deviation)
        self.num_frozen_stages = num_frozen_stages
        self.stackwise_num_filters = tuple(stackwise_num_filters)
        self.stackwise_num_blocks = stackwise_num_blocks and tuple(stackwise_num_blocks)
        self.stem_num_filters = stem_num_filters
        self._freeze_stages()
        # Only now: a functional model learns of its layers after its own `trainable`.
        if not trainable:
            self.trainable = False

    @property
    def padding_value(self):
        """The color whose normalized value is zero, with which images are to be padded."""
        return self.mean if self.include_rescaling else (0.0, 0.0, 0.0)

    @property
    def trainable(self):
        """Whether the stages that aren't frozen train."""
        return super().trainable

    @trainable.setter
    def trainable(self, value):
        keras.Model.trainable.fset(self, value)
        self._freeze_stages()

    def _freeze_stages(self):
        num_frozen = getattr(self, "num_frozen_stages", 0)
        prefixes = ("conv1", "layer1_", "layer2_", "layer3_", "layer4_")[:num_frozen]
        for layer in self.layers:
            if layer.name.startswith(prefixes):
                layer.trainable = False

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "depth": self.depth,
            "dilation": self.dilation,
            "include_rescaling": self.include_rescaling,
            "mean": self.mean,
            "standard_deviation": self.standard_deviation,
            "num_frozen_stages": self.num_frozen_stages,
            "stackwise_num_filters": self.stackwise_num_filters,
            "stackwise_num_blocks": self.stackwise_num_blocks,
            "stem_num_filters": self.stem_num_filters,
            "input_shape": tuple(self.input_shape[1:]),
        }

    @classmethod
    def from_config(cls, config):
        """Build from `get_config`."""
        return cls(**config)

    presets: ClassVar[dict] = RESNET_PRESETS
    checkpoint_table = RESNET_TABLE
    checkpoint_variables = resnet_variables

    @classmethod
    def from_preset(
        cls,
        preset: str | os.PathLike[str],
        weights: str | os.PathLike[str] | None = None,
        load_weights: bool = True,
        revision: str | None = None,
        **overrides: Any,
    ) -> Any:
        """Build the backbone of a preset, with its weights.

        Args:
            preset: str or path: a registered name (see `presets`), a folder from `save_to_preset`,
                or "hf://owner/name" with such a folder, as `upload_preset` makes.
            weights: str or path of a file with torchvision's or timm's names, .safetensors or .pth
                (which needs torch), instead of the preset's own.
            load_weights: bool, whether to fetch and load the preset's weights.
            revision: str or `None`, the branch, tag or commit of the Hub's repository that the
                weights are to come from; by default its newest.
            **overrides: arguments of the constructor.

        Raises:
            ValueError: the preset is unknown, a checkpoint is damaged or of another architecture.
            FileNotFoundError: a file is missing, and can't be fetched.
        """
        return load_backbone(cls, preset, weights, load_weights, revision, overrides)

    save_to_preset = save_preset

    def upload_preset(self, preset: str, **settings: Any) -> str:
        """Upload configuration and weights to the Hugging Face Hub, for `from_preset`.

        Args:
            preset: str "hf://owner/name", the repository.
            **settings: other arguments of `SetPredictionDetector.upload_preset`, which also says
                what is returned and raised.
        """
        return upload_preset(self, preset, backbone_card, **settings)

    @classmethod
    def override_config(cls, config, arguments):
        """Return a saved configuration with other arguments."""
        return {**config, **arguments}


def _convolve(
    x, filters, size, name, norm_name, stride=1, dilation=1, use_relu=False, residual=None
):
    """Convolve without bias, with torch's symmetric padding, and normalize."""
    convolution = FrozenNormConv2D(
        filters,
        size,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        margin=0 if stride == 1 else size // 2,
        dilation_rate=dilation,
        kernel_initializer=kaiming_normal_fan_out(size, filters),
        name=name,
        norm_name=norm_name,
        use_relu=use_relu,
    )
    return convolution(x) if residual is None else convolution(x, residual=residual)


def _residual_block(x, name, filters, is_bottleneck, stride, dilation):
    """Add what two or three convolutions make of `x` to `x`, projected where shapes differ."""

    def convolve(x, index, filters, size, **kwargs):
        names = f"{name}_conv{index}", f"{name}_bn{index}"
        return _convolve(x, filters, size, *names, use_relu=True, **kwargs)

    num_outputs = filters * (BOTTLENECK_EXPANSION if is_bottleneck else 1)
    residual = x
    if stride != 1 or x.shape[-1] != num_outputs:
        names = f"{name}_downsample_0", f"{name}_downsample_1"
        residual = _convolve(x, num_outputs, 1, *names, stride=stride)
    if is_bottleneck:
        y = convolve(x, 1, filters, 1)
        y = convolve(y, 2, filters, 3, stride=stride, dilation=dilation)
        return convolve(y, 3, num_outputs, 1, residual=residual)
    y = convolve(x, 1, filters, 3, stride=stride, dilation=dilation)
    return convolve(y, 2, filters, 3, dilation=dilation, residual=residual)
