"""Denoising queries in training: they change what is learned, and nothing else."""

import keras
import numpy as np
import pytest

from keras_detr import ContrastiveDenoising, DeformableDETR
from keras_detr.layers.deformable_detr.references import with_reach_of_cells
from keras_detr.models.deformable_detr.deformable_detr_presets import DEFORMABLE_DETR_PRESETS
from tests.one_program import outputs_of

from .detectors import (
    NUM_CLASSES,
    NUM_LAYERS,
    Batches,
    inputs_of,
    tiny_batch,
    tiny_deformable_detr,
    tiny_dino_detr,
)

pytestmark = pytest.mark.every_backend


def denoising(**settings):
    return ContrastiveDenoising(12, **settings)


BUILDERS = {
    "refine": lambda **settings: tiny_deformable_detr(use_box_refinement=True, **settings),
    "two_stage": lambda **settings: tiny_deformable_detr(
        use_box_refinement=True, use_two_stage=True, **settings
    ),
    "dino": tiny_dino_detr,
}


@pytest.fixture(scope="module", params=BUILDERS)
def detector(request):
    """Give a detector with denoising queries, and one without of the same weights."""
    keras.utils.set_random_seed(0)
    model = BUILDERS[request.param](denoising=denoising())
    without = BUILDERS[request.param](denoising=None)
    values = {variable.path: keras.ops.convert_to_numpy(variable) for variable in model.weights}
    for variable in without.weights:
        variable.assign(values[variable.path])
    return model, without


def encoded(model, batch):
    return model.encode_targets(inputs_of(batch), batch["bounding_boxes"])


def test_matching_queries_see_nothing_of_them(detector):
    model, without = detector
    batch = tiny_batch()
    outputs = outputs_of(model, inputs_of(batch), training=True, targets=encoded(model, batch))
    # Three rows of boxes: four groups of three positive and three negative queries.
    shape = (4, NUM_LAYERS, 4 * 2 * 3)
    assert outputs["denoising_classification"].shape == (*shape, NUM_CLASSES)
    assert outputs["denoising_box"].shape == (*shape, 4)
    for name, value in outputs_of(without, inputs_of(batch), training=True).items():
        np.testing.assert_allclose(outputs[name], value, atol=2e-5, err_msg=name)


def test_without_training_or_targets_there_are_none(detector):
    model, without = detector
    batch = tiny_batch()
    inputs, targets = inputs_of(batch), encoded(model, batch)
    names = outputs_of(without, inputs).keys()
    assert outputs_of(model, inputs, targets=targets).keys() == names
    assert outputs_of(model, inputs, training=True).keys() == names
    # Detectors that have none take targets, too.
    assert outputs_of(without, inputs, training=True, targets=targets).keys() == names


def test_deformable_detr_starts_them_where_the_boxes_are():
    model = BUILDERS["refine"](denoising=denoising(label_noise_ratio=0, box_noise_scale=0))
    # Box heads start without a correction. The first one also gives points their sides.
    batch = tiny_batch()
    targets = encoded(model, batch)
    outputs = outputs_of(model, inputs_of(batch), training=True, targets=targets)
    boxes = outputs["denoising_box"].reshape(4, NUM_LAYERS, 4, 2, 3, 4)
    is_object = batch["bounding_boxes"]["classes"] >= 0
    expected = np.where(is_object[..., None], keras.ops.convert_to_numpy(targets["boxes"]), 0.5)[
        :, None, None, None
    ]
    np.testing.assert_allclose(boxes, np.broadcast_to(expected, boxes.shape), atol=1e-5)


def test_a_point_reaches_as_far_as_its_box():
    points = np.random.default_rng(0).uniform(size=(1, 5, 2, 2)).astype("float32")
    boxes = keras.ops.convert_to_numpy(with_reach_of_cells(points, ((4, 8), (2, 4)), 4))
    np.testing.assert_array_equal(boxes[..., :2], points)
    # An offset of 1 is half a side shared by 4 points: one cell of the level's map.
    np.testing.assert_allclose(boxes[0, :, 0, 2:] * 0.5 / 4, [[1 / 8, 1 / 4]] * 5, rtol=1e-6)
    np.testing.assert_allclose(boxes[0, :, 1, 2:] * 0.5 / 4, [[1 / 4, 1 / 2]] * 5, rtol=1e-6)


@pytest.mark.once
def test_boxes_that_are_dropped_make_none():
    model = tiny_dino_detr(denoising=denoising(label_noise_ratio=0, box_noise_scale=0))
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    batch = tiny_batch()
    clean = model.train_on_batch(batch, return_dict=True)
    worse = {**batch, "bounding_boxes": dict(batch["bounding_boxes"])}
    boxes = worse["bounding_boxes"]["boxes"].copy()
    classes = worse["bounding_boxes"]["classes"].copy()
    # The last image, without objects, gets one of no width.
    boxes[-1, 0], classes[-1, 0] = (10, 10, 10, 20), 1
    worse["bounding_boxes"] = {"boxes": boxes, "classes": classes}
    logs = model.train_on_batch(worse, return_dict=True)
    assert logs["dropped_boxes"] == 1
    for name in ("denoising_classification_loss", "denoising_box_loss", "loss"):
        np.testing.assert_allclose(logs[name], clean[name], rtol=1e-5, err_msg=name)


@pytest.mark.once
def test_saved_with_the_model_and_left_out_on_demand(tmp_path):
    keras.utils.set_random_seed(0)
    model = BUILDERS["refine"](denoising=denoising(box_noise_scale=0.4))
    model.compile()
    batch = tiny_batch()
    model.fit(Batches(batch), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.denoising.get_config() == model.denoising.get_config()
    # The state of the noise goes on where it was.
    for one, other in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (one, other)))
    logs = [m.fit(Batches(batch), verbose=0).history for m in (model, loaded)]
    for name, values in logs[0].items():
        np.testing.assert_allclose(logs[1][name], values, rtol=1e-5, err_msg=name)

    model.save_to_preset(tmp_path / "preset")
    without = DeformableDETR.from_preset(tmp_path / "preset", denoising=None)
    assert without.denoising is None
    expected = outputs_of(model, inputs_of(batch))
    for name, value in outputs_of(without, inputs_of(batch)).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize("name", BUILDERS)
def test_another_number_of_classes(name, tmp_path, caplog):
    keras.utils.set_random_seed(0)
    model = BUILDERS[name](denoising=denoising())
    model.save_to_preset(tmp_path)
    changed = type(model).from_preset(tmp_path, num_classes=5)
    (line,) = [m for m in caplog.messages if m.startswith("The class head starts anew")]
    assert "has 3 classes, the model has 5" in line
    own, other = model.checkpoint_variables(), changed.checkpoint_variables()
    assert own.keys() == other.keys()
    new = {key for key in own if own[key].torch_shape != other[key].torch_shape}
    assert "label_enc.weight" in new
    assert all("class_embed" in key for key in new - {"label_enc.weight"})
    for key in own.keys() - new:
        np.testing.assert_array_equal(own[key].to_torch(), other[key].to_torch(), err_msg=key)


@pytest.mark.once
def test_weights_without_them_start_them_anew(tmp_path):
    keras.utils.set_random_seed(0)
    model = BUILDERS["refine"]()
    model.save_to_preset(tmp_path)
    loaded = DeformableDETR.from_preset(tmp_path, denoising=denoising())
    table = keras.ops.convert_to_numpy(loaded.denoising.label_embeddings)
    assert table.shape == (NUM_CLASSES, 32)
    assert 0.5 < table.std() < 1.5
    inputs = inputs_of(tiny_batch())
    expected = outputs_of(model, inputs)
    for name, value in outputs_of(loaded, inputs).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6)


def test_published_detectors_have_none():
    assert tiny_deformable_detr().denoising is None
    assert all("denoising" not in preset.settings for preset in DEFORMABLE_DETR_PRESETS.values())
    assert tiny_dino_detr().denoising.num_queries == 100


def test_errors():
    with pytest.raises(ValueError, match="`denoising` needs `use_box_refinement=True`"):
        tiny_deformable_detr(denoising=denoising())
    with pytest.raises(ValueError, match="`denoising` must be a `ContrastiveDenoising`, or None"):
        tiny_dino_detr(denoising="yes")
    shared = denoising()
    tiny_dino_detr(denoising=shared)
    with pytest.raises(ValueError, match="belongs to a detector already"):
        tiny_dino_detr(denoising=shared)
