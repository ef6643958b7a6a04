"""Presets of DETR with masks: official panoptic files, and weights of detectors without masks."""

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import save_file

from keras_detr.checkpoints import COCO_CATEGORY_IDS, COCO_PANOPTIC_CATEGORY_IDS
from keras_detr.models import DETR, DETRSegmenter
from tests.checkpoints.checkpoint_names import fuse, official_detr, official_mask_head
from tests.models.detectors import inputs_of, tiny_batch, tiny_detr
from tests.models.presets.test_presets import (
    HEAD,
    TINY_SETTINGS,
    assert_equal_but_for,
    tensors_of,
)
from tests.models.torch_oracles import random_tensors
from tests.one_program import outputs_of

pytestmark = pytest.mark.every_backend

NUM_LAYERS = 1
# What stays of a published preset are its classes, and the rows that they have in files.
TINY = {
    **{name: TINY_SETTINGS[name] for name in TINY_SETTINGS if "class" not in name},
    "num_encoder_layers": NUM_LAYERS,
    "num_decoder_layers": NUM_LAYERS,
}
BODY = official_detr("basic", TINY["backbone"]["stackwise_num_blocks"], False, NUM_LAYERS)
# Category ids up to 90, or 250 of them; and no-object.
NUM_DETECTOR_ROWS, NUM_PANOPTIC_ROWS = 92, 251
# The first and the last of both kinds, with their ids in panoptic_coco_categories.json.
SOME_CATEGORIES = (
    ("person", 1, True),
    ("toothbrush", 90, True),
    ("banner", 92, False),
    ("rug-merged", 200, False),
)


@pytest.fixture(autouse=True)
def _tiny_presets(monkeypatch):
    """Make the published architectures tiny, for as long as a test runs."""
    for presets, name in ((DETR.presets, "detr_r50"), (DETRSegmenter.presets, "detr_r50_panoptic")):
        preset = presets[name]
        tiny = dataclasses.replace(preset, settings={**preset.settings, **TINY})
        monkeypatch.setitem(presets, name, tiny)


def random_file(path, cls, preset, num_rows):
    """Write random weights under canonical names but with all rows of a class head; return them."""
    variables = cls.from_preset(preset, load_weights=False).checkpoint_variables()
    shapes = {name: entry.torch_shape for name, entry in variables.items()}
    for name in HEAD:
        shapes[name] = (num_rows, *shapes[name][1:])
    tensors = random_tensors(shapes)
    save_file(tensors, path)
    return tensors


@pytest.fixture
def panoptic(tmp_path):
    """Give a file with the names that the original's panoptic files have, and its tensors."""
    path = tmp_path / "panoptic.safetensors"
    tensors = random_file(path, DETRSegmenter, "detr_r50_panoptic", NUM_PANOPTIC_ROWS)
    mask_names = official_mask_head()
    official = {
        name if name in mask_names else f"detr.{name}": tensor
        for name, tensor in fuse(tensors).items()
    }
    assert official.keys() == {*(f"detr.{name}" for name in BODY), *mask_names}
    save_file(official, path)
    return path, tensors


@pytest.fixture
def detector(tmp_path):
    """Give a file of a detector without masks, and its tensors."""
    path = tmp_path / "detector.safetensors"
    return path, random_file(path, DETR, "detr_r50", NUM_DETECTOR_ROWS)


def with_rows(tensors, rows):
    """Return tensors with some rows of the class head only."""
    return {**tensors, **{name: tensors[name][list(rows)] for name in HEAD}}


def mask_tensors(model):
    """Return the tensors by canonical name that only a segmenter has."""
    tensors = tensors_of(model)
    return {name: tensors[name] for name in official_mask_head()}


def assert_new_mask_head(model, others):
    """Check that the mask head is as a new one: other random kernels, no biases, norms of one."""
    fresh, theirs = mask_tensors(model), mask_tensors(others)
    for name, tensor in fresh.items():
        if name.endswith("bias"):
            assert not tensor.any()
        elif ".gn" in name:
            assert (tensor == 1).all()
        else:
            assert tensor.std() > 0.01
            assert (tensor != theirs[name]).any()


def test_an_official_file_fills_all_of_a_segmenter(panoptic, caplog):
    path, tensors = panoptic
    model = DETRSegmenter.from_preset("detr_r50_panoptic", weights=path)
    expected = with_rows(tensors, [*COCO_PANOPTIC_CATEGORY_IDS, NUM_PANOPTIC_ROWS - 1])
    assert_equal_but_for(tensors_of(model), expected)
    filled = {id(entry.variable) for entry in model.checkpoint_variables().values()}
    assert filled == {id(variable) for variable in model.weights}
    assert model.num_classes == len(model.class_names) == len(model.is_thing) == 133
    assert caplog.records == []
    # Things come first, and each class has the row of its category's id.
    row_of = dict(zip(model.class_names, tensors_of(model)[HEAD[0]], strict=False))
    for name, category, is_thing in SOME_CATEGORIES:
        np.testing.assert_array_equal(row_of[name], tensors[HEAD[0]][category])
        assert model.is_thing[model.class_names.index(name)] == is_thing


@pytest.mark.once
def test_other_classes_keep_the_mask_head(panoptic, caplog):
    path, tensors = panoptic
    model = DETRSegmenter.from_preset("detr_r50_panoptic", weights=path, num_classes=4)
    assert_equal_but_for(tensors_of(model), tensors, *HEAD)
    assert model.class_names is None
    assert model.is_thing is None
    (record,) = caplog.records
    assert "has 133 classes, the model has 4" in record.getMessage()


@pytest.mark.once
def test_a_part_of_the_mask_head_is_missing(panoptic):
    path, tensors = panoptic
    name = "mask_head.lay3.weight"
    save_file({key: tensors[key] for key in tensors if key != name}, path)
    with pytest.raises(ValueError, match=r"not in the checkpoint \(mask_head\.lay3\.weight\)"):
        DETRSegmenter.from_preset("detr_r50_panoptic", weights=path)


def test_weights_of_a_detector_get_a_new_mask_head(detector, caplog):
    path, tensors = detector
    models = [DETRSegmenter.from_preset("detr_r50", weights=path) for _ in range(2)]
    expected = with_rows(tensors, [*COCO_CATEGORY_IDS, NUM_DETECTOR_ROWS - 1])
    for model in models:
        assert type(model) is DETRSegmenter
        assert_equal_but_for({**tensors_of(model), **expected}, tensors_of(model))
    assert_new_mask_head(*models)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [f"The mask head starts anew: {path} has none."] * 2
    masks = outputs_of(models[0], inputs_of(tiny_batch(batch_size=2)))["mask"]
    assert np.isfinite(masks).all()
    assert masks.std() > 1e-3


@pytest.mark.once
def test_a_saved_detector_gets_a_new_mask_head(tmp_path, caplog):
    saved = tiny_detr(class_names=("cat", "dog", "sky"))
    saved.save_to_preset(tmp_path)
    is_thing = (True, True, False)
    model = DETRSegmenter.from_preset(tmp_path, is_thing=is_thing)
    assert type(model) is DETRSegmenter
    expected = tensors_of(saved)
    assert_equal_but_for({**tensors_of(model), **expected}, tensors_of(model))
    assert (model.class_names, model.is_thing) == (saved.class_names, is_thing)
    assert caplog.messages == [f"The mask head starts anew: {tmp_path} has none."]
    other = DETRSegmenter.from_preset(tmp_path, num_classes=5)
    assert_new_mask_head(model, other)
    assert_equal_but_for(tensors_of(other), tensors_of(model), *HEAD, *official_mask_head())
    assert other.class_names is None
    # The way back would lose masks.
    model.save_to_preset(tmp_path / "segmenter")
    with pytest.raises(ValueError, match="'keras_detr>DETRSegmenter', not a DETR"):
        DETR.from_preset(tmp_path / "segmenter")
