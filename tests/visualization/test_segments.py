"""Panoptic maps, read back pixel by pixel."""

import numpy as np
import pytest
from PIL import Image

from keras_detr.visualization import plot_segments
from keras_detr.visualization.class_colors import class_color
from tests.visualization.test_drawn_masks import color_at

GREY, OPACITY = 100, 0.6
IMAGE = np.full((120, 160, 3), GREY, np.uint8)
# Sky above; two cats side by side, the right one in the shape of an L; nothing at the bottom.
MAP = np.zeros((120, 160), np.int32)
MAP[:50], MAP[50:100, :80] = 1, 2
MAP[50:60, 80:150], MAP[60:100, 120:150] = 5, 5
SEGMENTS = [
    {"id": 1, "class": 1, "is_thing": False},
    {"id": 2, "class": 0, "is_thing": True},
    {"id": 5, "class": 0, "is_thing": True},
]
NAMES = ["cat", "sky"]


def labels(figure):
    """Return the names on the segments and their places, in pixels of the image."""
    figure.canvas.draw()
    axes = figure.axes[0]
    found = []
    for text in axes.texts[2:]:
        extent = text.get_bbox_patch().get_window_extent(figure.canvas.get_renderer())
        center = axes.transData.inverted().transform(np.mean(extent.get_points(), axis=0))
        found.append((text.get_text(), *center, extent))
    return found


def filled(class_id=None):
    color = np.full(3, float(GREY))
    if class_id is not None:
        color = (1 - OPACITY) * color + OPACITY * 255 * np.array(class_color(class_id))
    return pytest.approx(color, abs=2)


def test_every_segment_is_filled_with_the_color_of_its_class(tmp_path):
    path = tmp_path / "map.png"
    figure = plot_segments(IMAGE, MAP, SEGMENTS, class_names=NAMES, title="a", path=path)
    for (x, y), class_id in {
        (20, 10): 1,
        (20, 90): 0,
        (85, 55): 0,
        (100, 80): None,
        (40, 110): None,
    }.items():
        assert color_at(figure, x + 0.5, y + 0.5) == filled(class_id)
    assert [text.get_text() for text in figure.axes[0].texts[:2]] == ["a", "3 segments"]
    with Image.open(path) as picture:
        assert picture.format == "PNG"


def test_things_have_outlines_and_stuff_has_none():
    def is_line(x, y, segments):
        color = color_at(plot_segments(IMAGE, MAP, segments), x, y)
        return np.abs(color - 255 * np.array(class_color(0))).max() < 40

    # Between two of one class.
    assert is_line(80, 55, SEGMENTS)
    assert not is_line(80, 55, [{**segment, "is_thing": False} for segment in SEGMENTS])


def test_names_are_written_once_on_their_segments():
    figure = plot_segments(IMAGE, MAP, SEGMENTS, class_names=NAMES)
    found = labels(figure)
    assert sorted(name for name, *_ in found) == ["cat", "cat", "sky"]
    ids = {MAP[int(y), int(x)] for _, x, y, _ in found}
    assert ids == {1, 2, 5}
    for place, (*_, extent) in enumerate(found):
        assert not any(extent.overlaps(other) for *_, other in found[:place])
    # A name of its own comes before that of the class.
    named = [{**SEGMENTS[0], "name": "heaven"}, *SEGMENTS[1:]]
    assert {name for name, *_ in labels(plot_segments(IMAGE, MAP, named))} == {"heaven", "class 0"}


def test_names_stay_inside_the_image_and_off_small_segments():
    segment_map = np.zeros((120, 160), np.int32)
    segment_map[:8, :20], segment_map[60:63, 60:63] = 1, 2
    segments = [{**SEGMENTS[0], "name": "a rather long name"}, {**SEGMENTS[1], "id": 2}]
    assert labels(plot_segments(IMAGE, segment_map, segments)) == []
    segment_map[:40, :60] = 1
    figure = plot_segments(IMAGE, segment_map, segments)
    ((name, *_, extent),) = labels(figure)
    assert name == "a rather long name"
    panel = figure.axes[0].get_window_extent()
    # Half a dot: positions go through data coordinates and back.
    assert panel.x0 - 0.5 <= extent.x0
    assert extent.y1 <= panel.y1 + 0.5


def test_names_of_low_segments_are_beside_each_other():
    segment_map = np.zeros((120, 160), np.int32)
    segment_map[50:53], segment_map[53:56], segment_map[56:59] = 1, 2, 5
    found = labels(plot_segments(IMAGE, segment_map, SEGMENTS))
    assert len(found) == 3
    for place, (*_, extent) in enumerate(found):
        assert not any(extent.overlaps(other) for *_, other in found[:place])


def test_no_segments():
    figure = plot_segments(IMAGE, np.zeros((120, 160), np.int32), [])
    assert [text.get_text() for text in figure.axes[0].texts] == ["Segments", "no segments"]
    # One that the map lacks is none.
    assert labels(plot_segments(IMAGE, np.zeros((120, 160), np.int32), SEGMENTS[:1])) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segment_map": MAP[:100]}, r"of the size of the image, \(120, 160\).*\(100, 160\)"),
        ({"segment_map": MAP.astype("float32")}, "`segment_map` must be int.*float32"),
        ({"segments": SEGMENTS[:1]}, r"ids \[2, 5\], which it lacks"),
        ({"class_names": ["cat"]}, "1 names, and there is an object of class 1"),
        ({"image": IMAGE[..., 0]}, r"\(height, width, 3\)"),
    ],
)
def test_bad_input(change, message):
    arguments = {"image": IMAGE, "segment_map": MAP, "segments": SEGMENTS}
    with pytest.raises(ValueError, match=message):
        plot_segments(**{**arguments, **change})
