"""What Deformable DETR adds to the task: its presets, its start, its learning rates."""

import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.losses import FocalClassification
from keras_detr.models import DeformableDETR
from tests.models.detectors import inputs_of, tiny_batch, tiny_deformable_detr
from tests.one_program import outputs_of

pytestmark = pytest.mark.every_backend

REPOSITORIES = {
    "deformable_detr_r50": "SenseTime/deformable-detr",
    "deformable_detr_r50_single_scale": "SenseTime/deformable-detr-single-scale",
    "deformable_detr_r50_single_scale_dc5": "SenseTime/deformable-detr-single-scale-dc5",
    "deformable_detr_r50_refine": "SenseTime/deformable-detr-with-box-refine",
    "deformable_detr_r50_two_stage": "SenseTime/deformable-detr-with-box-refine-two-stage",
}


def test_presets_are_the_published_ones():
    presets = DeformableDETR.presets
    assert {name: preset.weights.repo_id for name, preset in presets.items()} == REPOSITORIES
    assert [preset.published["AP"] for preset in presets.values()] == [44.5, 39.4, 41.5, 46.2, 46.9]


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("name", REPOSITORIES)
def test_every_preset_can_be_built(name):
    model = DeformableDETR.from_preset(name, load_weights=False)
    assert model.count_params() == DeformableDETR.presets[name].num_parameters
    assert model.num_classes == len(model.class_names) == 80
    assert len(model.class_heads) == {"refine": 6, "two_stage": 7}.get(name[20:], 1)


def test_a_new_model_expects_little_everywhere():
    model = tiny_deformable_detr()
    outputs = outputs_of(model, inputs_of(tiny_batch()))
    probability = ops.convert_to_numpy(ops.sigmoid(outputs["classification"]))
    assert 0.001 < probability.mean() < 0.05
    # Boxes start at the reference points, small: sigmoid(-2).
    boxes = outputs["box"]
    np.testing.assert_allclose(boxes[..., 2:], 1 / (1 + np.exp(2)), rtol=1e-5)
    embeddings = model.query_embeddings[:, :32]
    points = ops.convert_to_numpy(ops.sigmoid(model.reference_points(embeddings)))
    np.testing.assert_allclose(boxes[0, :, :2], points, atol=1e-5)


def test_two_stage_needs_refinement():
    with pytest.raises(ValueError, match="`use_two_stage` needs `use_box_refinement=True`"):
        tiny_deformable_detr(use_two_stage=True)


@pytest.mark.parametrize("use_two_stage", [False, True])
def test_the_papers_recipe(use_two_stage):
    model = tiny_deformable_detr(use_box_refinement=True, use_two_stage=use_two_stage)
    model.compile()
    assert isinstance(model.loss.classification, FocalClassification)
    assert (model.loss.class_cost, model.loss.class_weight) == (2.0, 2.0)
    groups = model.optimizer.optimizers
    rates = sorted(float(ops.convert_to_numpy(group.learning_rate)) for group in groups)
    np.testing.assert_allclose(rates, [2e-5, 2e-5, 2e-4], rtol=1e-6)


def test_two_stages_train_and_are_saved(tmp_path):
    model = tiny_deformable_detr(use_box_refinement=True, use_two_stage=True)
    model.compile()
    batch = tiny_batch()
    logs = model.train_on_batch(inputs_of(batch), batch["bounding_boxes"], return_dict=True)
    assert {"encoder_classification_loss", "encoder_box_loss", "encoder_giou_loss"} <= logs.keys()
    assert all(np.isfinite(value) for value in logs.values())
    expected = model.predict_on_batch(inputs_of(batch))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    found = loaded.predict_on_batch(inputs_of(batch))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-3)


@pytest.mark.once
def test_another_number_of_classes(tmp_path, caplog):
    model = tiny_deformable_detr()
    model.save_to_preset(tmp_path / "preset")
    other = DeformableDETR.from_preset(tmp_path / "preset", num_classes=5, num_queries=12)
    assert re.search("class head starts anew: .* has 3 classes, the model has 5", caplog.text)
    bias = ops.convert_to_numpy(other.class_heads[0].bias)
    np.testing.assert_allclose(bias, -np.log(99.0), rtol=1e-6)
    kept = ops.convert_to_numpy(other.query_embeddings)[:10]
    np.testing.assert_array_equal(kept, ops.convert_to_numpy(model.query_embeddings))
    assert other.prediction_decoder.max_detections == 100
