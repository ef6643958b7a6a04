"""ResNet against torch's functional operators, its size, and what stays frozen in it."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.models import ResNetBackbone
from keras_detr.models.backbones.feature_pyramid import pyramid_extractor
from keras_detr.models.presets.checkpoint_variables import fill_variables
from tests.models.detectors import tiny_backbone
from tests.models.torch_oracles import random_tensors, resnet_pyramid

NARROW = {"stackwise_num_filters": (4, 6, 8, 10), "stem_num_filters": 6}
BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
MEAN = np.array((123.675, 116.28, 103.53), "float32")
DEVIATION = np.array((58.395, 57.12, 57.375), "float32")


def filled(backbone):
    """Give a backbone random weights, and return them by torchvision's names."""
    variables = backbone.checkpoint_variables()
    tensors = random_tensors({name: entry.torch_shape for name, entry in variables.items()})
    fill_variables(variables, tensors, "random tensors")
    return tensors


def pyramid_of(backbone, images):
    extract, _ = pyramid_extractor(backbone)
    return {level: ops.convert_to_numpy(value) for level, value in extract(images).items()}


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("depth", "dilation", "size"),
    [
        (18, False, (64, 96)),
        (18, True, (65, 33)),
        (50, False, (97, 61)),
        (50, True, (64, 40)),
        (50, True, (65, 71)),
    ],
)
def test_every_level_equals_torch(depth, dilation, size):
    pytest.importorskip("torch")
    backbone = ResNetBackbone(depth, dilation=dilation, include_rescaling=False, **NARROW)
    tensors = filled(backbone)
    images = np.random.default_rng(0).normal(0, 1, (2, *size, 3)).astype("float32")
    expected = resnet_pyramid(tensors, images, BLOCKS[depth], depth == 50, dilation)
    actual = pyramid_of(backbone, images)
    assert list(actual) == ["P2", "P3", "P4", "P5"]
    for value, original in zip(actual.values(), expected, strict=True):
        assert original.std() > 0.1
        # Relative to the largest feature: sums of hundreds of products in another order.
        np.testing.assert_allclose(value, original, atol=1e-5 * np.abs(original).max())
    np.testing.assert_allclose(ops.convert_to_numpy(backbone(images)), actual["P5"], atol=1e-4)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs tensorflow as the backend"
)
def test_no_strided_convolution_of_points_reads_a_narrow_map(monkeypatch):
    # The memory that TensorFlow 2.21 damages there ends a process at some later step, or doesn't.
    seen, convolve = [], ops.conv

    def recorded(inputs, kernel, *, strides, **settings):
        seen.append((tuple(kernel.shape[:2]), max(strides), inputs.shape[-1]))
        return convolve(inputs, kernel, strides=strides, **settings)

    for depth in (18, 50):
        backbone = ResNetBackbone(depth, **NARROW)
        with monkeypatch.context() as patch:
            patch.setattr(ops, "conv", recorded)
            backbone(np.zeros((1, 64, 64, 3), "float32"))
    assert any(kernel == (3, 3) and stride == 2 for kernel, stride, _ in seen)
    strided = [channels for kernel, stride, channels in seen if kernel == (1, 1) and stride > 1]
    assert min(strided, default=16) >= 16


@pytest.mark.every_backend
def test_rescaling():
    with_rescaling = tiny_backbone()
    without = tiny_backbone(include_rescaling=False)
    for variable, other in zip(without.weights, with_rescaling.weights, strict=True):
        variable.assign(other)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype("uint8")
    normalized = (images - MEAN) / DEVIATION
    expected = ops.convert_to_numpy(without(normalized.astype("float32")))
    np.testing.assert_allclose(
        ops.convert_to_numpy(with_rescaling(images)), expected, rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(with_rescaling.padding_value, MEAN)
    assert without.padding_value == (0.0, 0.0, 0.0)


@pytest.mark.every_backend
def test_another_normalization():
    settings = {"mean": (10.0, 20.0, 30.0), "standard_deviation": (40.0, 50.0, 60.0)}
    backbone = tiny_backbone(**settings)
    plain = tiny_backbone(include_rescaling=False)
    plain.set_weights(backbone.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype("uint8")
    normalized = (images - np.array(settings["mean"])) / settings["standard_deviation"]
    np.testing.assert_allclose(
        ops.convert_to_numpy(backbone(images)),
        ops.convert_to_numpy(plain(normalized.astype("float32"))),
        rtol=1e-4,
        atol=1e-4,
    )
    assert backbone.padding_value == settings["mean"]
    copy = type(backbone).from_config(backbone.get_config())
    assert (copy.mean, copy.standard_deviation) == tuple(settings.values())
    # What was saved before these were settings.
    old = {k: v for k, v in plain.get_config().items() if k not in settings}
    np.testing.assert_allclose(type(backbone).from_config(old).mean, MEAN)
    with pytest.raises(ValueError, match="`mean` must have 3 entries"):
        tiny_backbone(mean=(1.0,))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "torchvision_parameters"),
    # torchvision's own counts, less the classifier's.
    [(18, 11_176_512), (34, 21_284_672), (50, 23_508_032), (101, 42_500_160)],
)
def test_parameters_are_as_many_as_in_torchvision(depth, torchvision_parameters):
    backbone = ResNetBackbone(depth, num_frozen_stages=0)
    statistics = sum(np.prod(v.shape) for v in backbone.variables if "moving_" in v.path)
    assert backbone.count_params() - statistics == torchvision_parameters
    # Each norm has a mean, a variance, a factor and an offset; kernels train, norms don't.
    trainable = sum(np.prod(v.shape) for v in backbone.trainable_variables)
    assert trainable == torchvision_parameters - statistics


@pytest.mark.every_backend
@pytest.mark.parametrize("overrides", [{}, {"dilation": True, "num_frozen_stages": 4}])
def test_the_config_survives_a_round_trip(overrides, tmp_path):
    backbone = tiny_backbone(**overrides)
    rebuilt = ResNetBackbone.from_config(backbone.get_config())
    assert rebuilt.get_config() == backbone.get_config()
    assert [v.path for v in rebuilt.variables] == [v.path for v in backbone.variables]
    backbone.save(tmp_path / "backbone.keras")
    backbone.save_to_preset(tmp_path / "preset")
    images = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    expected = ops.convert_to_numpy(backbone(images))
    for loaded in (
        keras.saving.load_model(tmp_path / "backbone.keras"),
        ResNetBackbone.from_preset(tmp_path / "preset"),
    ):
        np.testing.assert_array_equal(ops.convert_to_numpy(loaded(images)), expected)
        assert len(loaded.trainable_variables) == len(backbone.trainable_variables)


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("depth", "overrides", "message"),
    [
        (152, {}, r"`depth` must be one of \[18, 34, 50, 101\]. Received: 152"),
        (50, {"stackwise_num_filters": (8, 16)}, "`stackwise_num_filters` must have 4 entries"),
        (50, {"stackwise_num_blocks": (1, 1, 1)}, "`stackwise_num_blocks` must have 4 entries"),
        (50, {"dilation": 2}, "`dilation` must be True or False. Received: 2"),
        (50, {"dilation": "P5"}, "`dilation` must be True or False. Received: 'P5'"),
        (50, {"num_frozen_stages": 6}, "`num_frozen_stages` must be .* from 0 to 5.*6"),
        (50, {"num_frozen_stages": -1}, "`num_frozen_stages` must be .* from 0 to 5.*-1"),
        (50, {"num_frozen_stages": 1.5}, "`num_frozen_stages` must be .* from 0 to 5.*1.5"),
    ],
)
def test_bad_arguments(depth, overrides, message):
    with pytest.raises(ValueError, match=message):
        ResNetBackbone(depth, **overrides)


@pytest.mark.every_backend
def test_level_names_lead_to_layers():
    backbone = tiny_backbone(input_shape=(64, 96, 3))
    assert list(backbone.pyramid_level_inputs) == ["P2", "P3", "P4", "P5"]
    for level, name in backbone.pyramid_level_inputs.items():
        stride = 2 ** int(level[1:])
        assert backbone.get_layer(name).output.shape[1:3] == (64 // stride, 96 // stride)
    _, shapes = pyramid_extractor(backbone)
    assert shapes["P5"] == (None, 2, 3, 32)


@pytest.mark.every_backend
def test_half_precision_normalizes_before_it_rounds():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        backbone = tiny_backbone()
    finally:
        keras.config.set_dtype_policy("float32")
    assert backbone.get_layer("rescaling").compute_dtype == "float32"
    assert backbone.get_layer("layer4_0_conv2").compute_dtype == "bfloat16"
    close = np.full((1, 64, 64, 3), 200.4, "float32")
    rescaled = keras.Model(backbone.input, backbone.get_layer("rescaling").output)
    rescaled.autocast = False
    expected = (200.4 - MEAN) / DEVIATION
    np.testing.assert_allclose(ops.convert_to_numpy(rescaled(close))[0, 0, 0], expected, rtol=1e-5)
