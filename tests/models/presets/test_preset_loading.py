"""Saved presets on any backbone, built with other arguments; and configurations built twice."""

import copy

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.models import MultiScaleNeck, SetPredictionDetector, SingleScaleNeck
from tests.models.detectors import DETECTORS, inputs_of, patch_backbone, tiny_batch, tiny_detr

pytestmark = pytest.mark.every_backend

LEVELS = {"P4": "fine", "P5": "coarse"}


def layers():
    return [
        keras.layers.Conv2D(8, 3, strides=16, padding="same", name="fine"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Conv2D(8, 3, strides=2, padding="same", name="coarse"),
    ]


def functional_backbone():
    images = features = keras.Input((None, None, 3))
    for layer in layers():
        features = layer(features)
    backbone = keras.Model(images, features)
    backbone.pyramid_level_inputs = LEVELS
    return backbone


def sequential_backbone():
    backbone = keras.Sequential([keras.Input((None, None, 3)), *layers()], name="sequential")
    backbone.pyramid_level_inputs = LEVELS
    return backbone


@keras.saving.register_keras_serializable("keras_detr_tests")
class OwnBackbone(keras.Model):
    """A functional model with a class and a configuration of its own."""

    def __init__(self, **kwargs):
        functional = functional_backbone()
        super().__init__(functional.inputs, functional.outputs, **kwargs)
        self.pyramid_level_inputs = LEVELS

    def get_config(self):
        return {"name": self.name, "trainable": self.trainable}


def values(layer):
    return [ops.convert_to_numpy(weight) for weight in layer.weights]


def assert_same_weights(actual, expected):
    for value, expected_value in zip(values(actual), values(expected), strict=True):
        np.testing.assert_array_equal(value, expected_value)


@pytest.mark.parametrize("build", [functional_backbone, sequential_backbone, OwnBackbone])
def test_other_arguments_than_saved(build, tmp_path):
    model = tiny_detr(backbone=build())
    model.save_to_preset(tmp_path)
    arguments = {
        "num_classes": 2,
        "class_names": ("a", "b"),
        "num_queries": 4,
        "bounding_box_format": "rel_xywh",
        "dropout": 0.5,
        "name": "other",
    }
    loaded = SetPredictionDetector.from_preset(tmp_path, **arguments)
    for name, value in arguments.items():
        assert getattr(loaded, name) == value
    for part in ("backbone", "neck", "encoder"):
        assert_same_weights(getattr(loaded, part), getattr(model, part))


@pytest.mark.parametrize("name", DETECTORS)
def test_a_configuration_serves_many_times(name):
    has_masks = DETECTORS[name].has_masks
    backbone = patch_backbone((2, 3, 4, 5)) if has_masks else functional_backbone()
    model = DETECTORS[name].build(backbone=backbone)
    scaled = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.1, 10))
    )
    model.compile(scaled)
    serialized = keras.saving.serialize_keras_object(model)
    for made, part in ((model, serialized["config"]), (model.loss, model.loss.get_config())):
        before = copy.deepcopy(part)
        for _ in range(2):
            type(made).from_config(part)
            assert part == before
    before = copy.deepcopy(serialized)
    for _ in range(2):
        again = keras.saving.deserialize_keras_object(serialized)
        assert serialized == before
        assert type(again.optimizer) is type(model.optimizer)
    clone = keras.models.clone_model(model)
    assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]


def test_an_optimizer_that_took_no_step_is_loaded_without_a_warning(tmp_path):
    model = tiny_detr()
    batch = tiny_batch()
    model.compile()
    model.train_on_batch(inputs_of(batch), batch["bounding_boxes"])
    # What has been trained shares its weights, and not its optimizer's state.
    model.compile()
    model.save_to_preset(tmp_path / "preset")
    model.save(tmp_path / "model.keras")
    preset = SetPredictionDetector.from_preset(tmp_path / "preset")
    for loaded in (preset, keras.saving.load_model(tmp_path / "model.keras")):
        assert_same_weights(loaded, model)
        assert int(loaded.optimizer.iterations) == 0
        loaded.train_on_batch(inputs_of(batch), batch["bounding_boxes"])
        assert int(loaded.optimizer.iterations) == 1


@keras.saving.register_keras_serializable("keras_detr_tests")
class Wrapped(keras.layers.Wrapper):
    """A position embedding of the user's; Keras' wrappers take their configuration apart."""

    def call(self, features, mask=None):
        return self.layer(features)


@pytest.mark.parametrize("neck_class", [SingleScaleNeck, MultiScaleNeck])
def test_the_configuration_of_a_neck_serves_many_times(neck_class):
    settings = {"num_levels": 4, "num_groups": 4} if neck_class is MultiScaleNeck else {}
    wrapped = Wrapped(keras.layers.Identity())
    config = neck_class(32, position_embedding=wrapped, **settings).get_config()
    before = copy.deepcopy(config)
    for _ in range(2):
        assert isinstance(neck_class.from_config(config).position_embedding, Wrapped)
        assert config == before


def test_another_backbone_keeps_its_own_levels(tmp_path):
    tiny_detr(backbone=functional_backbone()).save_to_preset(tmp_path)
    backbone = functional_backbone()
    backbone.pyramid_level_inputs = {"P4": "norm"}
    arguments = {"backbone": backbone, "load_weights": False}
    loaded = SetPredictionDetector.from_preset(tmp_path, **arguments)
    assert loaded.backbone is backbone
    assert backbone.pyramid_level_inputs == {"P4": "norm"}
    del backbone.pyramid_level_inputs
    with pytest.raises(ValueError, match="`backbone` must have `pyramid_level_inputs`"):
        SetPredictionDetector.from_preset(tmp_path, **arguments)
