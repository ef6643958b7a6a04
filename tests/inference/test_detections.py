"""The forms in which detections are given, each beside the arrays that it is made of."""

import dataclasses
import json
import pathlib
import sys

import numpy as np
import pytest
from PIL import ExifTags, Image

from keras_detr.inference import Detections, encode_masks
from keras_detr.visualization import plot_detections

SIZE = (40, 60)
BOXES = np.array([[1, 2, 30, 20], [5, 6, 50.5, 39], [0, 0, 60, 40], [7, 8, 9, 10]], "float32")
CLASSES = np.array([2, 0, 2, 1])
NAMES = ["tree", "cat", "tree", "dog"]
CONFIDENCE = np.array([0.98, 0.75, 0.5, 0.25], "float32")
PIXELS = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype("uint8")


def detections(path=None, number=4, **overrides):
    parts = (BOXES[:number], CLASSES[:number], NAMES[:number], CONFIDENCE[:number])
    return Detections(path, overrides.pop("image_size", SIZE), *parts, **overrides)


def unread():
    return detections(pathlib.Path("a.png"), 0, image_size=None, error="a.png can't be read: why")


def test_they_are_no_tuple_and_stay_as_they_are():
    found = detections()
    assert len(found) == 4
    for wrong in (lambda: [*found], lambda: found[0]):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.classes = CLASSES
    assert found == found
    assert found != detections()


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            detections(pathlib.Path("b/photo.png")),
            "Detections('b/photo.png', image_size=(40, 60), 4 objects: tree 0.98, cat 0.75, "
            "tree 0.50, ...)",
        ),
        (detections(number=1), "Detections(array, image_size=(40, 60), 1 object: tree 0.98)"),
        (detections(number=0), "Detections(array, image_size=(40, 60), no objects)"),
        (unread(), "Detections('a.png', error=\"a.png can't be read: why\")"),
    ],
)
def test_what_is_printed(found, text):
    assert repr(found) == str(found) == text


def test_a_dict_for_json():
    found = detections(pathlib.Path("b/photo.png"), image_size=(np.int32(40), 60))
    assert json.loads(json.dumps(found.to_dict())) == {
        "path": "b/photo.png",
        "image_size": [40, 60],
        "boxes": [[1, 2, 30, 20], [5, 6, 50.5, 39], [0, 0, 60, 40], [7, 8, 9, 10]],
        "classes": [2, 0, 2, 1],
        "names": NAMES,
        "confidence": [pytest.approx(value) for value in (0.98, 0.75, 0.5, 0.25)],
        "error": None,
    }
    nothing = {"boxes": [], "classes": [], "names": [], "confidence": []}
    missing = {"path": "a.png", "image_size": None, "error": "a.png can't be read: why"}
    assert json.loads(json.dumps(unread().to_dict())) == {**nothing, **missing}
    assert detections(number=0).to_dict() == {
        **nothing,
        "path": None,
        "image_size": [40, 60],
        "error": None,
    }


# Supervision takes its own functions where OpenCV is missing.
@pytest.mark.filterwarnings("ignore:OpenCV .* is not installed:UserWarning")
def test_detections_of_supervision():
    supervision = pytest.importorskip("supervision")
    for number in (4, 0):
        converted = detections(number=number).to_supervision()
        assert type(converted) is supervision.Detections
        assert len(converted) == number
        np.testing.assert_array_equal(converted.xyxy, BOXES[:number])
        np.testing.assert_array_equal(converted.class_id, CLASSES[:number])
        np.testing.assert_array_equal(converted.confidence, CONFIDENCE[:number])
        assert converted.data["class_name"].tolist() == NAMES[:number]
    # What users do next: choose objects, and draw.
    sure = detections().to_supervision()
    sure = sure[sure.confidence > 0.6]
    assert sure.data["class_name"].tolist() == ["tree", "cat"]
    drawn = supervision.BoxAnnotator().annotate(PIXELS.copy(), sure)
    assert (drawn != PIXELS).any()
    assert unread().to_supervision().xyxy.shape == (0, 4)


def test_a_data_frame():
    pandas = pytest.importorskip("pandas")
    frame = detections().to_pandas()
    assert type(frame) is pandas.DataFrame
    assert frame.columns.tolist() == ["x1", "y1", "x2", "y2", "class", "name", "confidence"]
    np.testing.assert_array_equal(frame[["x1", "y1", "x2", "y2"]], BOXES)
    assert frame["class"].tolist() == CLASSES.tolist()
    assert frame[frame["confidence"] > 0.6]["name"].tolist() == ["tree", "cat"]
    assert detections(number=0).to_pandas().shape == unread().to_pandas().shape == (0, 7)


@pytest.mark.parametrize("package", ["supervision", "pandas"])
def test_a_missing_package_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'pip install "keras_detr\[{package}\]"'):
        getattr(detections(), f"to_{package}")()


def picture_of(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def test_the_picture_is_that_of_plot_detections(tmp_path):
    expected = plot_detections(
        PIXELS,
        {"boxes": BOXES, "classes": CLASSES, "confidence": CONFIDENCE},
        "xyxy",
        class_names=["cat", "dog", "tree"],
        confidence_threshold=0.0,
        title="photo.png",
    )
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    of_file = detections(tmp_path / "photo.png")
    of_array = detections()
    for figure in (
        of_file.plot(tmp_path / "drawn.png"),
        of_array.plot(image=PIXELS, title="photo.png"),
        of_array.plot(image=Image.fromarray(PIXELS), title="photo.png"),
        of_array.plot(image=tmp_path / "photo.png", title="photo.png"),
    ):
        np.testing.assert_array_equal(picture_of(figure), picture_of(expected))
    assert (tmp_path / "drawn.png").exists()
    # All objects are drawn: the threshold was that of `detect`.
    texts = {text.get_text() for text in expected.axes[0].texts}
    assert {"4 objects", "photo.png", "tree 0.98", "dog 0.25"} <= texts
    assert detections(number=0).plot(image=PIXELS).axes


def test_the_picture_has_the_masks():
    masks = np.zeros((4, *SIZE), bool)
    masks[0, 5:15, 5:25], masks[1, 10:35, 20:45] = True, True
    expected = plot_detections(
        PIXELS,
        {"boxes": BOXES, "classes": CLASSES, "confidence": CONFIDENCE, "masks": masks},
        "xyxy",
        class_names=["cat", "dog", "tree"],
        confidence_threshold=0.0,
        title="Detections",
    )
    figure = detections(masks=encode_masks(masks)).plot(image=PIXELS)
    np.testing.assert_array_equal(picture_of(figure), picture_of(expected))
    without = picture_of(detections().plot(image=PIXELS))
    assert (picture_of(figure) != without).any()


@pytest.mark.parametrize("exif", ["apply", "ignore"])
def test_a_file_is_read_again_as_it_was_detected(tmp_path, exif):
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=tags)
    size = SIZE[::-1] if exif == "apply" else SIZE
    found = detections(tmp_path / "turned.png", image_size=size, exif=exif)
    shown = found.plot().axes[0]
    assert (shown.get_ylim()[0], shown.get_xlim()[1]) == size


def test_what_cannot_be_drawn_says_why(tmp_path):
    with pytest.raises(ValueError, match=r"`image` is missing.*found\.plot\(image=image\)"):
        detections().plot()
    with pytest.raises(ValueError, match=r"of the size \(40, 60\).*one of \(60, 40\)"):
        detections().plot(image=PIXELS.transpose(1, 0, 2))
    with pytest.raises(ValueError, match=r"must be a single image\. Received: 2 images"):
        detections().plot(image=np.stack([PIXELS, PIXELS]))
    with pytest.raises(ValueError, match=r"nothing to draw: a\.png can't be read: why"):
        unread().plot()
    with pytest.raises(FileNotFoundError):
        detections(tmp_path / "gone.png").plot()
