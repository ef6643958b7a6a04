"""What the abstract task asks of a detector: each duty, its contract and its default."""

from collections.abc import Callable
from typing import Any, ClassVar

import keras

from keras_detr.checkpoints import RenameTable
from keras_detr.losses.hungarian_loss import HungarianLoss
from keras_detr.models.backbones.resnet_backbone import ResNetBackbone
from keras_detr.models.backbones.resnet_presets import RESNET_PRESETS
from keras_detr.models.presets.head_fitting import fit_class_heads, fit_denoising, fit_queries
from keras_detr.models.presets.hub_settings import not_in_transformers
from keras_detr.optimizers.detr_optimizer import detr_optimizer


def concrete_detectors(cls):
    """Return all subclasses of a class, those that others derive from before these."""
    found = cls.__subclasses__()
    return [*found, *(more for sub in found for more in concrete_detectors(sub))]


class _PresetsOfSubclasses:
    """Give the presets of all subclasses of a detector that has none of its own."""

    def __get__(self, instance, cls):
        subclasses = concrete_detectors(cls)
        return {name: found for sub in subclasses for name, found in sub.presets.items()}


class DetectorContract:
    """Declare what a detector sets, implements and may override.

    A detector sets `neck` and `num_queries` and implements `predict_set`. Everything else has a
    default, or is needed only for what its description names.
    """

    # Set in the constructor: layer from the pyramid and the mask to what the transformer reads.
    # `predict_set` calls it, `build_neck` builds it, `get_config` saves it.
    neck: keras.layers.Layer

    # Set in the constructor: int, how many objects an image can have at most.
    num_queries: int

    # bool, whether the last class logit stands for no-object (softmax, as in DETR) or every logit
    # for a class (sigmoid). The loss and the prediction decoder must agree with it.
    has_no_object = True

    # bool, whether the raw outputs for training hold "encoder_classification" and "encoder_box".
    # `compile` then logs the encoder's losses too. The constructor may set it.
    use_two_stage = False

    # `None`, unless the constructor sets it: `ContrastiveDenoising`, which makes queries of the
    # targets in training. The raw outputs for training then hold "denoising_classification" and
    # "denoising_box". `get_config` saves it.
    denoising: keras.layers.Layer | None

    # bool, whether every query has a mask. Targets then need "masks", and the raw outputs hold
    # "mask", or "matched_mask" where targets are given. `predict_set` takes `targets`, see
    # `wants_targets`, and `confidence_threshold`, float32 (batch,) or `None`: the masks of queries
    # below it need not be computed.
    has_masks = False

    def wants_targets(self, training):
        """Return whether `predict_set` takes one argument more, `targets`.

        It is a dict of "boxes" (batch, objects, 4), rel_center_xywh of the unpadded image, and
        "classes" (batch, objects), -1 for padding; or `None` where there are none, as in `predict`.

        Args:
            training: bool, whether it is for a step of training or for one of evaluation.
        """
        return training and self.denoising is not None

    def predict_set(self, pyramid, pixel_mask, training, return_auxiliary):
        """Return the raw outputs for a feature pyramid. There is no default.

        Args:
            pyramid: dict of level name ("P3" has stride 8) to (batch, height, width, channels).
            pixel_mask: (batch, image height, image width), 1 on the image and 0 on padding, or
                `None` if nothing is padded.
            training: bool or `None`, as in `call`.
            return_auxiliary: bool, whether to return the outputs of all decoder layers and of the
                encoder, as the loss needs them, or only those of the last layer.

        Returns:
            dict of float32 tensors, see the class. `raw_outputs` makes it of a decoder's layers.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `predict_set`.")

    def attend_set(self, pyramid, pixel_mask):
        """Return the last layer's raw outputs and the decoder's attention.

        Only `decoder_attention` needs it, which also gives the shapes. Arguments are those of
        `predict_set`.

        Returns:
            dict of "classification", "box", "attention_weights" and perhaps "sampling_points".
        """
        raise NotImplementedError(
            f"{type(self).__name__} doesn't show its attention: it has no `attend_set`."
        )

    @classmethod
    def default_loss(cls) -> HungarianLoss:
        """Return the loss of the detector's paper, by default DETR's."""
        return HungarianLoss.detr()

    def default_optimizer(self, schedule: Callable[[float], Any] = float, **settings: Any) -> Any:
        """Return the optimizer of the detector's paper, by default DETR's.

        Args:
            schedule: callable from the paper's learning rate of a group of variables to the rate,
                or the `keras.optimizers.schedules.LearningRateSchedule`, that it gets.
            **settings: other arguments of `keras_detr.detr_optimizer`, such as `use_ema`.
        """
        return detr_optimizer(self, schedule(1e-4), schedule(1e-5), **settings)

    # The rest is needed by `from_preset` and `export_to_transformers` only.

    # dict of name -> `Preset`, the family's published weights; of the abstract task, those of all.
    presets: ClassVar[Any] = _PresetsOfSubclasses()

    # dict of name -> `Preset`, published weights of a simpler detector to start from:
    # `fit_checkpoint` begins anew what they lack.
    starting_presets: ClassVar[dict] = {}

    # dict of name -> `Preset`, published backbones for a new detector, and the class to build them.
    backbone_presets: ClassVar[dict] = RESNET_PRESETS
    backbone_class = ResNetBackbone

    # str, `model_type` in the config.json of the family's repositories on the Hub, and the entry of
    # its "architectures" that tells several detectors of one type apart.
    hub_model_type: str | None = None
    hub_architecture: str | None = None

    # Rules from the names in official files and on the Hub to canonical ones.
    checkpoint_table: ClassVar[RenameTable]

    @classmethod
    def checkpoint_settings(cls, config):
        """Return what a config.json of the Hub stands for, a dict like `Preset.settings`.

        Args:
            config: dict, the file's content; its `model_type` is `hub_model_type`.
        """
        raise NotImplementedError(f"{cls.__name__} can't read a config.json of the Hub.")

    @classmethod
    def checkpoint_arguments(cls, settings):
        """Return the constructor's arguments, a new backbone and neck among them, for settings."""
        raise NotImplementedError(f"{cls.__name__} can't be built from a checkpoint's settings.")

    def checkpoint_variables(self):
        """Return all variables of the model, as dict of canonical name -> `CheckpointVariable`."""
        raise NotImplementedError(f"{type(self).__name__} has no table of checkpoint names.")

    def checkpoint_class_heads(self, class_rows):
        """Return the checkpoint's rows of real classes by the canonical name of each class head.

        `class_rows` are those that a preset names, a sequence of int or `None`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no table of checkpoint names.")

    def fit_checkpoint(self, tensors, class_rows, may_reset_classes, source):
        """Return a checkpoint's tensors with the classes and queries that the model has.

        Args:
            tensors: dict of canonical name -> array; not changed.
            class_rows: sequence of int or `None`; see `fit_class_heads`.
            may_reset_classes: bool, whether the user asked for a number of classes.
            source: str, the file or preset that the tensors are from, for messages.

        Raises:
            ValueError: the numbers of classes differ and `may_reset_classes` is false.
        """
        own = self.checkpoint_variables()
        tensors = fit_class_heads(
            fit_denoising(tensors, own),
            own,
            self.checkpoint_class_heads(class_rows),
            self.num_classes,
            may_reset_classes,
            source,
            has_no_object=self.has_no_object,
        )
        return fit_queries(tensors, own, self.num_queries, source)

    def in_transformers(self):
        """Return what transformers' files hold of the detector, for `export_to_transformers`.

        Returns:
            dict, the content of config.json; and dict of name in model.safetensors -> array.

        Raises:
            ValueError: transformers can't hold the detector; the message says why.
        """
        raise not_in_transformers(self, "transformers has no model of this kind")


def raw_outputs(logits, boxes, num_queries=None):
    """Return the dict that `predict_set` returns, of the outputs of all decoder layers or the last.

    Args:
        logits: float32 (batch, layers, queries, logits).
        boxes: float32 (batch, layers, queries, 4).
        num_queries: int, how many queries come before denoising queries; `None` where all are
            the detector's.
    """
    if num_queries is not None:
        return {
            **raw_outputs(logits[:, :, :num_queries], boxes[:, :, :num_queries]),
            "denoising_classification": logits[:, :, num_queries:],
            "denoising_box": boxes[:, :, num_queries:],
        }
    outputs = {"classification": logits[:, -1], "box": boxes[:, -1]}
    if logits.shape[1] > 1:
        outputs["aux_classification"] = logits[:, :-1]
        outputs["aux_box"] = boxes[:, :-1]
    return outputs
