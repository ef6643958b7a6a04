"""The forms in which the segments of an image are given."""

import json
import pathlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from keras_detr.inference import PanopticSegments, encode_masks
from keras_detr.visualization import plot_segments

SIZE = (40, 60)
PIXELS = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype("uint8")
MAP = np.zeros(SIZE, np.int32)
MAP[:20], MAP[20:35, 10:50] = 1, 2
KINDS = [("sky", 1, False, 0.9), ("cat", 0, True, 0.75)]


def panoptic(path=None, segment_map=MAP, **overrides):
    segments = [
        {
            "id": number,
            "class": label,
            "name": name,
            "is_thing": is_thing,
            "confidence": confidence,
            "area": int((segment_map == number).sum()),
            "mask": encode_masks([segment_map == number])[0],
        }
        for number, (name, label, is_thing, confidence) in enumerate(KINDS, start=1)
    ]
    return PanopticSegments(path, segment_map.shape, segments, **overrides)


def unread():
    return PanopticSegments(pathlib.Path("a.png"), None, [], "a.png can't be read: why")


def picture_of(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def test_the_map_and_what_is_printed():
    found = panoptic(pathlib.Path("b/photo.png"))
    np.testing.assert_array_equal(found.segment_map(), MAP)
    assert len(found) == 2
    assert repr(found) == (
        "PanopticSegments('b/photo.png', image_size=(40, 60), 2 segments: sky 50%, cat 25%)"
    )
    assert json.loads(json.dumps(found.to_dict()))["segments"] == found.segments


def test_the_picture_is_that_of_plot_segments(tmp_path):
    expected = plot_segments(
        PIXELS, MAP, panoptic().segments, class_names=["cat", "sky"], title="photo.png"
    )
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    for figure in (
        panoptic(tmp_path / "photo.png").plot(tmp_path / "drawn.png"),
        panoptic().plot(image=PIXELS, title="photo.png"),
        panoptic().plot(image=tmp_path / "photo.png", title="photo.png"),
    ):
        np.testing.assert_array_equal(picture_of(figure), picture_of(expected))
    assert (tmp_path / "drawn.png").exists()
    assert {"2 segments", "sky", "cat"} <= {text.get_text() for text in expected.axes[0].texts}


@pytest.mark.parametrize("exif", ["apply", "ignore"])
def test_a_file_is_read_again_as_it_was_segmented(tmp_path, exif):
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=tags)
    segment_map = MAP.T if exif == "apply" else MAP
    shown = panoptic(tmp_path / "turned.png", segment_map, exif=exif).plot().axes[0]
    assert (shown.get_ylim()[0], shown.get_xlim()[1]) == segment_map.shape


def test_what_cannot_be_drawn_says_why():
    with pytest.raises(ValueError, match=r"`image` is missing.*found\.plot\(image=image\)"):
        panoptic().plot()
    with pytest.raises(ValueError, match=r"of the size \(40, 60\).*one of \(60, 40\)"):
        panoptic().plot(image=PIXELS.transpose(1, 0, 2))
    with pytest.raises(ValueError, match=r"nothing to draw: a\.png can't be read: why"):
        unread().plot()
