"""Detections of images from everywhere, against `predict` on their pixels."""

import inspect
import logging

import numpy as np
import pytest
from PIL import ExifTags, Image

pytest.importorskip("tensorflow", reason="raw images are resized by tensorflow")

import keras_detr
from keras_detr.preprocessing import DETRPreprocessor
from tests.models.detectors import tiny_deformable_detr, tiny_detr

SIZES = ((40, 60), (60, 40), (30, 90), (1, 1))
EVERYTHING = {"confidence_threshold": 0.0}


def detector(build=tiny_detr, bounding_box_format="xyxy", **settings):
    model = build(bounding_box_format=bounding_box_format, **settings)
    model.preprocessor = DETRPreprocessor(
        64, longest_side=110, bounding_box_format=bounding_box_format
    )
    return model


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (*size, 3)).astype("uint8") for size in SIZES]


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")
    (folder / "0_broken.png").write_bytes(b"no image")
    return folder


@pytest.mark.parametrize("build", [tiny_detr, tiny_deformable_detr])
def test_a_folder_gives_what_predict_gives(build, folder, images, caplog):
    model = detector(build)
    with caplog.at_level(logging.WARNING, "keras_detr"):
        results = keras_detr.detect(model, folder, **EVERYTHING)
    names = [found.path.name for found in results]
    assert names == ["0.png", "0_broken.png", "1.png", "2.png", "3.png"]
    assert "0_broken.png can't be read: cannot identify" in caplog.text
    broken = results.pop(1)
    assert "cannot identify" in broken.error
    assert broken.image_size is None
    assert len(broken) == 0
    expected = model.predict(images)
    for row, (found, size) in enumerate(zip(results, SIZES, strict=True)):
        assert found.error is None
        assert found.image_size == size
        np.testing.assert_allclose(found.boxes, expected["boxes"][row], atol=1e-3)
        np.testing.assert_array_equal(found.classes, expected["classes"][row])
        np.testing.assert_allclose(found.confidence, expected["confidence"][row], atol=1e-5)


def test_the_method_is_the_function(folder, monkeypatch):
    model = detector()
    for found, other in zip(
        model.detect(folder, **EVERYTHING),
        keras_detr.detect(model, folder, **EVERYTHING),
        strict=True,
    ):
        assert found.path == other.path
        np.testing.assert_array_equal(found.boxes, other.boxes)
    received = {}
    monkeypatch.setattr(
        "keras_detr.models.task.prediction.detect",
        lambda *args, **kwargs: received.update(kwargs, images=args[1]) or args[0],
    )
    _, *parameters = inspect.signature(keras_detr.detect).parameters.values()
    assert list(inspect.signature(model.detect).parameters.values()) == parameters
    others = {"images": "a", "confidence_threshold": 0.1, "batch_size": 3, "verbose": 1}
    assert model.detect(**others, exif="ignore") is model
    assert received == {**others, "exif": "ignore"}


def test_boxes_are_pixels_whatever_the_models_format(images):
    images = images[:2]
    expected = detector()
    found = keras_detr.detect(expected, images, **EVERYTHING)
    for box_format in ("rel_yxyx", "xywh"):
        model = detector(bounding_box_format=box_format)
        model.set_weights(expected.get_weights())
        for image, other in zip(keras_detr.detect(model, images, **EVERYTHING), found, strict=True):
            np.testing.assert_allclose(image.boxes, other.boxes, atol=1e-3)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_pictures_are_turned_as_exif_says(images, tmp_path, suffix):
    model = detector()
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6
    path = tmp_path / f"turned.{suffix}"
    Image.fromarray(images[0]).save(path, exif=tags)
    stored = np.asarray(Image.open(path))
    for settings, pixels in (({}, np.rot90(stored, -1)), ({"exif": "ignore"}, stored)):
        (expected,) = keras_detr.detect(model, pixels, **EVERYTHING)
        for source in (path, tmp_path, Image.open(path), [Image.open(path)]):
            (found,) = keras_detr.detect(model, source, **EVERYTHING, **settings)
            assert found.image_size == pixels.shape[:2]
            np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
            np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-5)
    with pytest.raises(ValueError, match="`exif` must be 'apply' or 'ignore'"):
        keras_detr.detect(model, path, exif=True)


def test_threshold_and_names(images):
    names = ["cat", "dog", "tree"]
    model = detector(num_classes=3, class_names=names)
    (everything,) = keras_detr.detect(model, images[0], **EVERYTHING)
    threshold = float(np.median(everything.confidence))
    (some,) = keras_detr.detect(model, images[0], confidence_threshold=threshold)
    assert 0 < len(some) < len(everything)
    assert (some.confidence >= threshold).all()
    assert some.names == [names[label] for label in some.classes]
    model.class_names = None
    (unnamed,) = keras_detr.detect(model, images[0], confidence_threshold=threshold)
    assert unnamed.names == [f"class {label}" for label in some.classes]


def test_chunks_keep_the_order(images, monkeypatch):
    model = detector()
    expected = keras_detr.detect(model, images, **EVERYTHING)
    for name, value in (("_CHUNK_IMAGES", 3), ("_CHUNK_PIXELS", 1)):
        monkeypatch.setattr(f"keras_detr.inference.image_chunks.{name}", value)
        for found, other in zip(
            keras_detr.detect(model, images, **EVERYTHING), expected, strict=True
        ):
            np.testing.assert_allclose(found.boxes, other.boxes, atol=1e-2)


def test_only_broken_files(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    (found,) = keras_detr.detect(detector(), tmp_path)
    assert found.error


def test_progress_is_shown_for_long_work(images, capsys):
    model = detector()
    keras_detr.detect(model, images[:1])
    assert capsys.readouterr().out == ""
    keras_detr.detect(model, images[:1] * 20)
    assert "20/20" in capsys.readouterr().out


def test_bad_arguments(images):
    model = detector()
    with pytest.raises(ValueError, match=r"`confidence_threshold`.*50"):
        keras_detr.detect(model, images, confidence_threshold=50)
    with pytest.raises(ValueError, match="at least one image"):
        keras_detr.detect(model, [])
