"""Maps have their channels last, whatever Keras' configuration says."""

import keras
import numpy as np
import pytest

from keras_detr.layers.primitives.frozen_norm_conv2d import FrozenNormConv2D
from keras_detr.layers.primitives.padded_max_pooling2d import PaddedMaxPooling2D

from .detectors import inputs_of, tiny_backbone, tiny_batch, tiny_deformable_detr, tiny_detr

pytestmark = pytest.mark.every_backend

MODELS = {
    "detr": tiny_detr,
    # Strides in a bottleneck's narrow projections are a pooling.
    "detr_narrow": lambda: tiny_detr(
        backbone=tiny_backbone(stackwise_num_filters=(4, 8, 8, 8), stem_num_filters=4)
    ),
    "deformable_two_stage": lambda: tiny_deformable_detr(
        use_box_refinement=True, use_two_stage=True
    ),
}


@pytest.fixture
def channels_first():
    """Set Keras' default, and bring it back."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format(before)


@pytest.mark.parametrize(
    "build",
    [
        # It takes JAX a minute to compile, and has no part more that convolves.
        pytest.param(name, marks=pytest.mark.once) if name == "deformable_two_stage" else name
        for name in MODELS
    ],
)
def test_a_detector_is_built_and_trained(build, channels_first, tmp_path):
    build = MODELS[build]
    model = build()
    batch = tiny_batch(batch_size=2)
    model.compile("sgd", run_eagerly=True)
    model.fit(batch, verbose=0)
    found = model.predict(inputs_of(batch), verbose=0)
    model.save(tmp_path / "model.keras")
    keras.config.set_image_data_format("channels_last")
    other = keras.saving.load_model(tmp_path / "model.keras")
    for name, value in other.predict(inputs_of(batch), verbose=0).items():
        np.testing.assert_allclose(value, found[name], atol=1e-5)


def test_backbones_with_their_channels_first_are_refused():
    images = keras.Input((3, 64, 96))
    features = keras.layers.Conv2D(8, 32, strides=32, data_format="channels_first", name="patches")(
        images
    )
    backbone = keras.Model(images, features)
    backbone.pyramid_level_inputs = {"P5": "patches"}
    with pytest.raises(ValueError, match=r"`backbone` must have its channels last.*'patches'"):
        tiny_detr(backbone=backbone)


@pytest.mark.parametrize("layer", [FrozenNormConv2D, PaddedMaxPooling2D])
def test_layers_with_their_channels_first_are_refused(layer):
    arguments = (8, 3) if layer is FrozenNormConv2D else (3,)
    with pytest.raises(ValueError, match=r'`data_format` must be "channels_last".*channels_first'):
        layer(*arguments, data_format="channels_first")
