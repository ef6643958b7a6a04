"""One function loads a detector from wherever it is."""

import zipfile

import keras
import numpy as np
import pytest

import keras_detr
from keras_detr.ops.backends import current
from keras_detr.ops.backends.interface import Process

from .detectors import DETECTORS, inputs_of, tiny_batch

pytestmark = pytest.mark.every_backend


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return DETECTORS["detr"].build()


@pytest.fixture(scope="module")
def inputs():
    return inputs_of(tiny_batch(batch_size=2))


@pytest.mark.parametrize("as_path", [str, lambda path: path])
@pytest.mark.parametrize("is_file", [True, False])
def test_files_and_folders(is_file, as_path, model, inputs, tmp_path):
    path = tmp_path / ("detector.keras" if is_file else "preset")
    (model.save if is_file else model.save_to_preset)(path)
    loaded = keras_detr.load(as_path(path))
    assert type(loaded) is keras_detr.DETR
    expected = model.predict(inputs, verbose=0)
    found = loaded.predict(inputs, verbose=0)
    np.testing.assert_array_equal(found["boxes"], expected["boxes"])


@pytest.mark.parametrize("is_file", [True, False])
def test_another_format_of_boxes(is_file, model, inputs, tmp_path):
    path = tmp_path / ("detector.keras" if is_file else "preset")
    (model.save if is_file else model.save_to_preset)(path)
    loaded = keras_detr.load(path, bounding_box_format="rel_xywh")
    assert loaded.bounding_box_format == "rel_xywh"
    boxes = loaded.predict(inputs, verbose=0)["boxes"]
    expected = model.predict(inputs, verbose=0)["boxes"]
    sizes = expected[..., 2:] - expected[..., :2]
    mask = np.asarray(inputs["pixel_mask"]).astype(bool)
    scale = np.stack([mask.any(axis=axis).sum(axis=1) for axis in (1, 2)], axis=-1)
    np.testing.assert_allclose(boxes[..., 2:] * scale[:, None], sizes, rtol=1e-4, atol=1e-3)
    with pytest.raises(ValueError, match="`bounding_box_format`"):
        keras_detr.load(path, bounding_box_format="corners")


def test_the_folder_of_a_training(model, tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss\n")
    (tmp_path / "config.json").write_text("{}")
    model.save(tmp_path / "model.keras")
    assert keras_detr.load(tmp_path).num_queries == model.num_queries
    keras_detr.load(tmp_path / "model.keras", num_queries=3).save_to_preset(tmp_path / "preset")
    assert keras_detr.load(str(tmp_path)).num_queries == 3


def test_names_that_are_assigned_are_checked_and_saved(model, tmp_path):
    named = DETECTORS["detr"].build()
    with pytest.raises(ValueError, match=r"one name for each of 3 classes.*2 names"):
        named.class_names = ["cat", "dog"]
    named.class_names = ["cat", "dog", "cow "]
    named.save(tmp_path / "detector.keras")
    assert keras_detr.load(tmp_path / "detector.keras").class_names == ("cat", "dog", "cow")


def test_every_process_loads_with_other_settings(model, tmp_path, monkeypatch):
    model.save(tmp_path / "detector.keras")
    monkeypatch.setattr(current(), "process", lambda: Process(1, 2))
    loaded = keras_detr.load(tmp_path / "detector.keras", num_queries=3)
    assert loaded.num_queries == 3


def test_other_classes_keep_all_but_the_class_head(model, inputs, tmp_path):
    model.save(tmp_path / "detector.keras")
    names = ("cat", "dog", "cow", "hen", "pig")
    loaded = keras_detr.load(tmp_path / "detector.keras", num_classes=5, class_names=names)
    assert (loaded.num_classes, loaded.class_names) == (5, names)
    expected, found = (keras.ops.convert_to_numpy(m(inputs)["box"]) for m in (model, loaded))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert keras_detr.load(tmp_path / "detector.keras", num_queries=3).num_queries == 3


@pytest.mark.parametrize("is_file", [True, False])
def test_a_detector_gets_masks(is_file, model, inputs, tmp_path, caplog):
    path = tmp_path / ("detector.keras" if is_file else "preset")
    (model.save if is_file else model.save_to_preset)(path)
    loaded = keras_detr.load(path, masks=True)
    assert type(loaded) is keras_detr.DETRSegmenter
    assert "The mask head starts anew" in caplog.text
    expected, found = (m.predict(inputs, verbose=0) for m in (model, loaded))
    np.testing.assert_allclose(found["boxes"], expected["boxes"], rtol=1e-5, atol=1e-3)
    assert "mask_logits" in found


def test_masks_that_there_are_and_that_there_are_not(tmp_path):
    segmenter = DETECTORS["detr_segmenter"].build()
    segmenter.save(tmp_path / "segmenter.keras")
    assert type(keras_detr.load(tmp_path / "segmenter.keras", masks=True)) is type(segmenter)
    with pytest.raises(ValueError, match="`masks` must be False for a DINODETR"):
        keras_detr.load("dino_detr_r50", masks=True, load_weights=False)


def test_a_registered_name_takes_settings():
    settings = {"load_weights": False, "num_encoder_layers": 1, "num_decoder_layers": 1}
    model = keras_detr.load("detr_r50", num_classes=3, feed_forward_dim=8, **settings)
    assert type(model) is keras_detr.DETR
    assert model.num_classes == 3


def with_entries(path, change):
    """Write a .keras file beside another one: `change` is called with an entry and its content."""
    changed = path.with_name("changed.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return changed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda name, old: None if name.endswith(".h5") else old, "model.weights.h5"),
        (lambda name, old: old.replace(b'"num_queries": ', b'"num_queries": -'), "`num_queries`"),
        (lambda name, old: b"{" if name == "config.json" else old, "Expecting property name"),
        (lambda name, old: old[:500] if name.endswith(".h5") else old, "Unable to .*open file"),
    ],
)
def test_a_damaged_file_is_named(change, reason, model, tmp_path):
    model.save(tmp_path / "model.keras")
    changed = with_entries(tmp_path / "model.keras", change)
    with pytest.raises(ValueError, match=rf"`source`: no model .*changed\.keras.*{reason}"):
        keras_detr.load(changed)
    changed.write_bytes((tmp_path / "model.keras").read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"changed\.keras' isn't what `model.save` writes"):
        keras_detr.load(changed)


def test_what_cannot_be_loaded(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file or folder .*nowhere\.keras"):
        keras_detr.load(tmp_path / "nowhere.keras")
    other = tmp_path / "other.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(other)
    with pytest.raises(ValueError, match="holds a `Sequential`"):
        keras_detr.load(other)
    with pytest.raises(ValueError, match="no_such_preset"):
        keras_detr.load("no_such_preset")


def test_what_was_meant_is_said(model, tmp_path):
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"model\.kers.* Did you mean '.*/model\.keras'\?"):
        keras_detr.load(tmp_path / "model.kers")
    with pytest.raises(ValueError, match=r"Did you mean 'detr_r50'\? The presets are deformable"):
        keras_detr.load("detr_r5O")
    with pytest.raises(ValueError, match=r"write 'hf://facebook/detr-resnet-50'"):
        keras_detr.load("facebook/detr-resnet-50")
    with pytest.raises(
        ValueError, match=r"is a backbone.*`DETR.from_preset\('resnet50_imagenet', "
    ):
        keras_detr.load("resnet50_imagenet", num_classes=2)
    with pytest.raises(ValueError, match=r"`source` must be the path .* Received: 5"):
        keras_detr.load(5)


def test_a_training_without_a_model(model, tmp_path):
    folder = tmp_path / "training"
    keras_detr.models.TrainingRun(folder, {})
    # The arguments of the command.
    (folder / "config.json").write_text('{"epochs": 50}')
    with pytest.raises(FileNotFoundError, match=r"has no model yet.*--resume .*/training"):
        keras_detr.load(folder)
    (folder / "config.json").unlink()
    model.save_to_preset(folder)
    assert keras_detr.load(folder).num_classes == model.num_classes


def test_precision_is_that_of_all_layers(tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = DETECTORS["deformable_detr"].build()
    finally:
        keras.config.set_dtype_policy(before)
    half.save(tmp_path / "half.keras")
    single = keras_detr.load(tmp_path / "half.keras", dtype="float32")
    assert {layer.compute_dtype for layer in single._flatten_layers()} == {"float32"}
    for one, other in zip(single.weights, half.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert keras_detr.load(tmp_path / "half.keras").compute_dtype == "bfloat16"
    single.save_to_preset(tmp_path / "single")
    again = keras_detr.load(tmp_path / "single", dtype="mixed_bfloat16")
    for one, other in zip(again._flatten_layers(), half._flatten_layers(), strict=True):
        assert (one.name, one.compute_dtype) == (other.name, other.compute_dtype)
