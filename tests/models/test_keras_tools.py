"""What Keras offers on any model, on every detector: summary, copies, a functional model around."""

import copy
import json
import pickle

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.models import DeformableDETR, MultiScaleNeck, SingleScaleNeck
from tests.one_program import outputs_of

from .detectors import HEIGHT, WIDTH, inputs_of, tiny_backbone, tiny_batch
from .detectors import tiny_deformable_detr as deformable
from .detectors import tiny_detr as detr

pytestmark = pytest.mark.every_backend

DETECTORS = {
    "detr": detr,
    "detr_dc5": lambda: detr(backbone=tiny_backbone(dilation=True), normalize_before=True),
    "deformable": deformable,
    "deformable_two_stage": lambda: deformable(use_box_refinement=True, use_two_stage=True),
    "deformable_single_scale_dc5": lambda: deformable(
        num_levels=1, num_points=2, backbone=tiny_backbone(dilation=True)
    ),
}


@pytest.fixture(scope="module", params=DETECTORS)
def model(request):
    """Give one row of the table."""
    return DETECTORS[request.param]()


@pytest.fixture(scope="module")
def expected(model):
    """Give the model's outputs, computed once: JAX takes seconds to trace it."""
    return outputs_of(model, inputs_of(tiny_batch(batch_size=1)))


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")


def free_size(model):
    """Return the size of images that are of any size; Deformable DETR on JAX needs to know it."""
    is_known = keras.backend.backend() == "jax" and isinstance(model, DeformableDETR)
    return (HEIGHT, WIDTH) if is_known else (None, None)


def summary(model, **settings):
    lines = []
    model.summary(print_fn=lambda text, **_: lines.append(text), line_length=280, **settings)
    return "\n".join(lines)


def check_equal(other, expected):
    for name, value in outputs_of(other, inputs_of(tiny_batch(batch_size=1))).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-5, err_msg=name)


def test_summary(model):
    text = summary(model)
    count = sum(int(np.prod(variable.shape)) for variable in model.weights)
    assert model.count_params() == count
    assert f"Total params: {count:,}" in text
    rows = {row.split("│")[1].split("(")[0].strip(): row for row in text.splitlines() if "│" in row}
    for layer in model.layers:
        row = rows[layer.name]
        assert f"{layer.count_params():,}" in row
        assert "unbuilt" not in row
    for name in ("neck", "encoder", "resnet"):
        assert "?" not in rows[name]
    nested = summary(model, expand_nested=True, show_trainable=True)
    assert all(layer.name in nested for layer in model.backbone.layers)


def test_layers_by_name_and_index(model):
    for index, layer in enumerate(model.layers):
        assert model.get_layer(layer.name) is layer
        assert model.get_layer(index=index) is layer


def test_names_for_tab_completion(model, tmp_path):
    names = {"backbone", "neck", "preprocessor", "prediction_decoder", "detect", "presets"}
    assert names <= {*dir(model)}
    model.save_weights(tmp_path / "model.weights.h5")
    with h5py.File(tmp_path / "model.weights.h5") as file:
        # Files are as they were: the backbone is one of the layers.
        assert not {"backbone", "preprocessor"} & {*file}
        assert "res_net_backbone" in file["layers"]


@pytest.mark.once
def test_saving_makes_no_preprocessor(model, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_detr.models.task.prediction.build_preprocessor", pytest.fail)
    model.save(tmp_path / "model.keras")
    keras.saving.load_model(tmp_path / "model.keras")


def test_copies(model, expected):
    config = model.get_config()
    json.dumps(keras.saving.serialize_keras_object(model))
    for other in (
        type(model).from_config(config),
        keras.models.clone_model(model),
        keras.models.model_from_json(model.to_json()),
    ):
        assert json.dumps(other.get_config()) == json.dumps(config)
        other.build_from_config(model.get_build_config() or {})
        other.set_weights(model.get_weights())
        check_equal(other, expected)


def test_copies_with_weights(model, expected):
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        check_equal(other, expected)
        assert not {id(v) for v in other.variables} & {id(v) for v in model.variables}


@pytest.mark.parametrize("is_known", [True, False])
def test_a_functional_model_around_it(model, expected, is_known):
    size = (HEIGHT, WIDTH) if is_known else free_size(model)
    inputs = {
        "images": keras.Input((*size, 3), name="images"),
        "pixel_mask": keras.Input(size, dtype="uint8", name="pixel_mask"),
    }
    around = keras.Model(inputs, model(inputs))
    assert "Total params" in summary(around, expand_nested=True)
    check_equal(around, expected)


def test_specs(model):
    images = keras.KerasTensor((2, HEIGHT, WIDTH, 3))
    spec = model.compute_output_spec(images)
    arrays = outputs_of(model, tiny_batch(batch_size=2)["images"])
    assert {name: value.shape for name, value in arrays.items()} == {
        name: tuple(tensor.shape) for name, tensor in spec.items()
    }
    free = model.compute_output_spec(keras.KerasTensor((None, *free_size(model), 3)))
    assert free.keys() == spec.keys()


PYRAMID = {f"P{level}": (2, 64 >> level, 96 >> level, 8) for level in (3, 4, 5)}


@pytest.mark.parametrize("num_levels", [1, 2, 4, 5])
@pytest.mark.parametrize("mask_shape", [None, (2, 64, 96)])
def test_the_shapes_of_a_multi_scale_neck(num_levels, mask_shape):
    neck = MultiScaleNeck(32, num_levels, num_groups=4)
    neck.build(PYRAMID)
    pyramid = {level: np.zeros(shape, "float32") for level, shape in PYRAMID.items()}
    outputs = neck(pyramid, None if mask_shape is None else np.ones(mask_shape, "uint8"))
    shapes = neck.compute_output_shape(PYRAMID, mask_shape)
    assert shapes == {name: tuple(outputs[name].shape) for name in shapes}
    is_array = {name: value is not None for name, value in outputs.items()}
    assert {name for name in is_array if is_array[name]} - {"spatial_shapes"} == shapes.keys()
    free = dict.fromkeys(PYRAMID, (None, None, None, 8))
    assert neck.compute_output_shape(free, mask_shape)["tokens"] == (None, None, 32)


def test_necks_in_functional_models():
    pyramid = {level: np.ones(shape, "float32") for level, shape in PYRAMID.items()}
    arrays = [pyramid, np.ones((2, 64, 96), "float32")]
    neck = SingleScaleNeck(32)
    inputs = keras.tree.map_structure(lambda array: keras.Input(array.shape[1:]), arrays)
    outputs = keras.Model(inputs, neck(*inputs))(arrays)
    expected = neck(*arrays)
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (outputs[name], value)))
    with pytest.raises(NotImplementedError, match="only if there is a `pixel_mask`"):
        neck(inputs[0])
    with pytest.raises(NotImplementedError, match=r"can't be called with `keras\.Input`"):
        MultiScaleNeck(32, 4, num_groups=4)(inputs[0])
