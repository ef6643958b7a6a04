"""Backbones of others in our detector, and our backbone in theirs."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.detectors import inputs_of, tiny_backbone, tiny_batch, tiny_detr

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs tensorflow as the backend"
)

BLOCKS = [1, 1, 1, 1]
# Both take no other first width.
FILTERS = [64, 16, 16, 32]
STRIDES = [1, 2, 2, 2]


def keras_cv_backbone():
    keras_cv = pytest.importorskip("keras_cv")
    return keras_cv.models.ResNetBackbone(
        stackwise_filters=FILTERS,
        stackwise_blocks=BLOCKS,
        stackwise_strides=STRIDES,
        include_rescaling=True,
        block_type="basic_block",
    )


def keras_hub_backbone():
    keras_hub = pytest.importorskip("keras_hub")
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=FILTERS,
        stackwise_num_blocks=BLOCKS,
        stackwise_num_strides=STRIDES,
        block_type="basic_block",
    )


def plain_backbone():
    images = keras.Input((None, None, 3))
    features = keras.layers.Conv2D(8, 3, strides=16, padding="same", name="features")(images)
    backbone = keras.Model(images, features, name="plain_backbone")
    backbone.pyramid_level_inputs = {"P4": "features"}
    return backbone


@pytest.mark.parametrize("build", [keras_cv_backbone, keras_hub_backbone, plain_backbone])
def test_a_foreign_backbone_trains_and_is_saved(build, tmp_path):
    backbone = build()
    model = tiny_detr(backbone=backbone)
    batch = tiny_batch(batch_size=2)
    inputs = inputs_of(batch)
    model.compile(optimizer="sgd", run_eagerly=True)
    before = [ops.convert_to_numpy(v) for v in backbone.trainable_variables]
    logs = model.fit(inputs, batch["bounding_boxes"], verbose=0).history
    assert np.isfinite(logs["loss"][-1])
    assert any(
        (ops.convert_to_numpy(v) != value).any()
        for v, value in zip(backbone.trainable_variables, before, strict=True)
    )
    model.save_to_preset(tmp_path / "preset")
    loaded = type(model).from_preset(tmp_path / "preset")
    for name, value in model(inputs).items():
        np.testing.assert_allclose(
            ops.convert_to_numpy(loaded(inputs)[name]), ops.convert_to_numpy(value), atol=1e-5
        )
    other = type(model).from_preset(tmp_path / "preset", num_classes=5)
    assert other.num_classes == 5
    for actual, expected in zip(other.backbone.weights, backbone.weights, strict=True):
        np.testing.assert_array_equal(actual.numpy(), expected.numpy())


@pytest.mark.slow
def test_our_backbone_serves_retina_net_and_both_live_in_one_program(tmp_path):
    keras_cv = pytest.importorskip("keras_cv")
    before = tiny_detr()
    model = keras_cv.models.RetinaNet(
        num_classes=3, bounding_box_format="xywh", backbone=tiny_backbone()
    )
    batch = tiny_batch(batch_size=2)
    outputs = model({"images": batch["images"]})
    assert np.isfinite(ops.convert_to_numpy(outputs["classification"])).all()
    frozen = {v.path for v in model.variables} - {v.path for v in model.trainable_variables}
    assert any("layer1_0_conv1" in path for path in frozen)
    # KerasCV's task has just become a functional model, and with it the base class of ours.
    for detector in (before, tiny_detr()):
        assert isinstance(detector, keras_cv.models.Task)
        detector.summary(print_fn=lambda line: None, expand_nested=True)
        assert type(keras.models.clone_model(detector)) is type(detector)
        detector.compile(optimizer="sgd", run_eagerly=True)
        detector.fit(batch, verbose=0)
        detector.save(tmp_path / "detector.keras")
        loaded = keras.saving.load_model(tmp_path / "detector.keras")
        inputs = inputs_of(batch)
        np.testing.assert_array_equal(
            ops.convert_to_numpy(loaded(inputs)["box"]),
            ops.convert_to_numpy(detector(inputs)["box"]),
        )
