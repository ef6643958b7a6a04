"""Exported files, read without Keras: the reference is the model's `predict` on raw images."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_detr.export import RawImageDetector, compare_export
from keras_detr.export.formats import foreign_files
from keras_detr.inference import decode_masks, instance_masks
from keras_detr.preprocessing.short_side_sizes import resized_size
from tests.models.detectors import tiny_deformable_detr, tiny_detr, tiny_detr_segmenter

if keras.backend.backend() != "tensorflow":
    pytest.skip("exporting needs the backend tensorflow", allow_module_level=True)

CLASS_NAMES = ("cat", "dög", "猫")
SUFFIXES = {"tf_saved_model": "", "onnx": ".onnx", "litert": ".tflite"}
# What reads a format, and what writes it.
PACKAGES = {
    "tf_saved_model": (),
    "onnx": ("onnx", "onnxruntime", "tf2onnx"),
    "litert": ("ai_edge_litert",),
}
SIZES = [(1, 60, 81), (3, 60, 81), (1, 200, 75), (3, 200, 75)]

# Each with the boxes of another format. The sizes make one of the images shrink.
MODELS = {
    "detr": lambda: tiny_detr(**settings("xyxy")),
    "segmenter": lambda: tiny_detr_segmenter(**settings("xyxy")),
    "deformable_detr": lambda: tiny_deformable_detr(num_levels=2, num_points=2, **settings("xywh")),
    "two_stage": lambda: tiny_deformable_detr(
        use_box_refinement=True, use_two_stage=True, **settings("rel_yxyx")
    ),
}


def settings(bounding_box_format):
    return {
        "bounding_box_format": bounding_box_format,
        "class_names": CLASS_NAMES,
        "preprocessor_sizes": (96, 160),
    }


@pytest.fixture(scope="module")
def batches():
    generator = np.random.default_rng(0)
    return {
        "x".join(map(str, size)): generator.integers(0, 256, (*size, 3), "uint8") for size in SIZES
    }


@pytest.fixture(scope="module")
def models():
    """Return a model of each kind, whose points and boxes are moved from where they start.

    Biases are left at zero in one of them: converters leave such sums out, and then join what
    stood on both sides.
    """
    generator = np.random.default_rng(0)
    built = {}
    for name, build in MODELS.items():
        keras.utils.set_random_seed(0)
        built[name] = build()
        for variable in built[name].trainable_variables:
            if name == "deformable_detr" and variable.name == "bias":
                continue
            noise = generator.normal(0, 0.05, variable.shape)
            variable.assign_add(noise.astype("float32"))
    return built


@pytest.fixture(scope="module")
def expected(models, batches):
    return {
        (name, batch): model.predict(list(images), batch_size=1)
        for name, model in models.items()
        for batch, images in batches.items()
    }


def found_by_a_stranger(models, format, images, folder):
    """Export models to a format, and return what one fresh process finds with them."""
    np.savez(folder / "images.npz", **images)
    tasks = []
    for name, model in models.items():
        path = folder / "exports" / f"{name}{SUFFIXES[format]}"
        model.export(path, format=format, verbose=False)
        # Another export may replace it.
        assert foreign_files(path, is_folder=path.is_dir()) == []
        tasks.append(
            {
                "format": format,
                "path": str(path),
                "images": str(folder / "images.npz"),
                "found": str(folder / f"{name}.npz"),
            }
        )
    # Nothing unfinished stays beside them.
    assert len(list((folder / "exports").iterdir())) == len(models)
    (folder / "tasks.json").write_text(json.dumps(tasks))
    reader = Path(__file__).with_name("read_without_keras.py")
    process = subprocess.run(
        [sys.executable, str(reader), str(folder / "tasks.json")],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return {name: dict(np.load(folder / f"{name}.npz")) for name in models}


def assert_same_masks(logits, encoded, size):
    """Check that the logits of images of one size stand for masks as `predict` gives them."""
    seen = resized_size(*size, *settings("xyxy")["preprocessor_sizes"])
    sizes = {"canvas_size": seen, "unpadded_size": seen, "image_size": size}
    masks = np.stack([instance_masks(of_image, **sizes) for of_image in logits])
    expected = np.stack([decode_masks(of_image, image_size=size) for of_image in encoded])
    assert 0 < expected.mean() < 1
    # Rounding moves a few pixels of a mask's edge.
    assert (masks != expected).mean() < 1e-3


# All models of a format in one test: starting and compiling take longer than the rest.
@pytest.mark.slow
@pytest.mark.parametrize("format", SUFFIXES)
def test_a_stranger_finds_what_predict_finds(format, models, expected, batches, tmp_path):
    missing = [name for name in PACKAGES[format] if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{missing[0]} isn't installed")
    found = found_by_a_stranger(models, format, batches, tmp_path)
    for (family, batch), wanted in expected.items():
        got = {name: found[family][f"{batch}/{name}"] for name in wanted if name != "masks"}
        scale = 1.0 if family == "two_stage" else max(batches[batch].shape[1:3])
        # Rounding of float32 over some twenty layers.
        np.testing.assert_allclose(got["boxes"] / scale, wanted["boxes"] / scale, atol=1e-4)
        np.testing.assert_allclose(got["confidence"], wanted["confidence"], atol=1e-5)
        np.testing.assert_array_equal(got["classes"], wanted["classes"])
        np.testing.assert_array_equal(got["num_detections"], wanted["num_detections"])
        assert all(got[name].dtype == wanted[name].dtype for name in got)
        if "masks" in wanted:
            logits = found[family][f"{batch}/mask_logits"]
            assert_same_masks(logits, wanted["masks"], batches[batch].shape[1:3])
    path = tmp_path / "exports" / f"detr{SUFFIXES[format]}"
    image = batches["1x200x75"][0]
    for comparison in compare_export(models["detr"], path, format, image=image, num_calls=1):
        assert comparison.is_same
        assert max(comparison.box_difference, comparison.confidence_difference) < 1e-4
        assert min(comparison.seconds, comparison.model_seconds) > 0
    for family, model in models.items():
        assert tuple(found[family]["class_names"]) == CLASS_NAMES
        assert str(found[family]["bounding_box_format"]) == model.bounding_box_format


@pytest.mark.slow
def test_images_may_be_floats_and_classes_nameless(models, batches, tmp_path):
    import tensorflow as tf

    model = tiny_detr(preprocessor_sizes=(96, 160))
    path = tmp_path / "detector"
    (path / "variables").mkdir(parents=True)
    (path / "saved_model.pb").write_text("an earlier export, with its bounding_box_format")
    model.export(path, input_dtype="float32", verbose=False)
    program = tf.saved_model.load(path)
    images = batches["1x60x81"]
    got = program.serve(images.astype("float32"))
    wanted = model.predict(list(images), batch_size=1)
    np.testing.assert_allclose(got["boxes"], wanted["boxes"], rtol=1e-4, atol=1e-3)
    assert "class_names" not in program.signatures
    assert [entry.name for entry in tmp_path.iterdir()] == ["detector"]


def test_without_a_preprocessor_images_keep_their_size(batches):
    images = batches["1x60x81"]
    found = {}
    for sizes in ((96, 160), None):
        keras.utils.set_random_seed(0)
        model = tiny_detr(preprocessor_sizes=sizes)
        found[sizes] = RawImageDetector(model)(images)
        wanted = model.predict(list(images), batch_size=1)
        np.testing.assert_allclose(found[sizes]["boxes"], wanted["boxes"], rtol=1e-4, atol=1e-3)
    assert not np.allclose(found[None]["boxes"], found[96, 160]["boxes"], atol=1e-3)
