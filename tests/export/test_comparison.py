"""Differences of an exported file, told from what a process without Keras found."""

import numpy as np
import pytest
from PIL import Image

from keras_detr.export import compare_export, comparison

WANTED = {
    "boxes": np.array([[[0.0, 0.0, 50.0, 40.0], [10.0, 10.0, 30.0, 30.0]]]),
    "classes": np.array([[1, 0]]),
    "confidence": np.array([[0.9, 0.9]]),
}


class Model:
    """Find the same in every image."""

    bounding_box_format = "xyxy"

    def predict(self, images, batch_size, verbose):
        return {name: np.repeat(value, len(images), axis=0) for name, value in WANTED.items()}


@pytest.fixture
def compared(monkeypatch, tmp_path):
    """Return a function that compares a file that finds WANTED with changes."""

    def compare(order=(0, 1), box_shift=0.0, confidence_shift=0.0, model=None, image=None):
        def found(path, format, batches, num_calls):
            results = {}
            for name, images in batches.items():
                result = Model().predict(images, 1, 0)
                result = {key: value[:, list(order)] for key, value in result.items()}
                result["boxes"] = result["boxes"] + box_shift
                result["confidence"] = result["confidence"] + confidence_shift
                results[name] = {**result, "seconds": np.array(0.25)}
            return results

        monkeypatch.setattr(comparison, "_run_in_new_process", found)
        return compare_export(model or Model(), tmp_path, num_calls=1, image=image)

    return compare


def test_a_picture_is_taken_as_its_pixels(compared):
    picture = Image.fromarray(np.full((30, 40, 3), 90, "uint8"))
    shapes = [found.images_shape for found in compared(image=picture)]
    assert shapes == [found.images_shape for found in compared(image=np.asarray(picture))]
    assert shapes[0] == (1, 30, 40, 3)


def test_equal_detections_in_another_order_are_the_same(compared):
    for found in compared(order=(1, 0)):
        assert (found.box_difference, found.confidence_difference) == (0, 0)
        assert found.is_same
        assert found.seconds == 0.25


def test_boxes_are_measured_by_the_long_side(compared):
    # Only the second box is moved.
    one, three = compared(box_shift=np.array([[0.0], [0.64]]))
    assert (one.images_shape, three.images_shape) == ((1, 480, 640, 3), (3, 240, 320, 3))
    assert one.box_difference == pytest.approx(1e-3)
    assert three.box_difference == pytest.approx(2e-3)
    assert not three.is_same
    text = "3 images, 240 pixels high and 320 wide: boxes differ by 2.0e-03 of the long side"
    assert str(three).startswith(text)


def test_relative_boxes_are_measured_as_they_are(compared):
    model = Model()
    model.bounding_box_format = "rel_xyxy"
    assert compared(box_shift=0.01, model=model)[0].box_difference == pytest.approx(0.01)


def test_other_confidences_are_a_difference(compared):
    found = compared(confidence_shift=-0.01)[0]
    assert found.confidence_difference == pytest.approx(0.01)
    assert not found.is_same


def test_a_box_of_another_class_is_a_difference(compared):
    class Other(Model):
        def predict(self, *arguments, **settings):
            found = super().predict(*arguments, **settings)
            return {**found, "classes": found["classes"] + 2}

    assert compared(model=Other())[0].box_difference == np.inf


def test_what_cannot_be_compared(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"`filepath`: there is no '.*gone.onnx'"):
        compare_export(Model(), tmp_path / "gone.onnx", "onnx")
    with pytest.raises(ValueError, match="`format` must be one of"):
        compare_export(Model(), tmp_path, "onyx")
    monkeypatch.setattr(comparison, "is_installed", lambda package: False)
    with pytest.raises(ImportError, match="run by onnxruntime, which isn't installed"):
        compare_export(Model(), tmp_path, "onnx")


def test_a_file_that_cannot_be_run(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit('no program')")
    monkeypatch.setattr(comparison, "_SCRIPT", script)
    monkeypatch.setattr(comparison, "is_installed", lambda package: True)
    with pytest.raises(ValueError, match="can't be run as 'tf_saved_model':\nno program"):
        compare_export(Model(), tmp_path)
