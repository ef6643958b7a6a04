"""The pictures themselves, read back pixel by pixel."""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from keras_detr.visualization import plot_comparison, plot_detections
from keras_detr.visualization.class_colors import class_color

BOXES = np.array([[[10, 20, 50, 40]], [[5, 5, 30, 30]]], np.float32)
Y_TRUE = {"boxes": BOXES, "classes": np.array([[3], [1]])}
Y_PRED = {**Y_TRUE, "confidence": np.array([[0.9], [0.2]]), "num_detections": np.array([1, 1])}
BACKGROUNDS = {"dark": 0, "light": 255, "grey": 128}


def images(value=128):
    return np.full((2, 60, 80, 3), value, np.uint8)


def rectangles(axes):
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def shown(axes):
    return {text.get_text() for text in axes.texts}


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def test_truth_stands_on_the_left_and_predictions_on_the_right():
    figure = plot_comparison(images(), Y_TRUE, Y_PRED, "xyxy", ["a", "b", "c", "d"])
    assert isinstance(figure, Figure)
    assert [shown(axes) for axes in figure.axes] == [
        {"Ground truth", "1 object", "d"},
        {"Predictions", "1 object, confidence at least 0.5", "d 0.90"},
        {"Ground truth", "1 object", "b"},
        {"Predictions", "no objects, confidence at least 0.5"},
    ]
    places = [axes.get_position() for axes in figure.axes]
    assert places[0].x1 < places[1].x0
    assert places[2].y1 < places[0].y0


@pytest.mark.parametrize("background", sorted(BACKGROUNDS))
def test_the_outline_lies_where_the_box_is(background):
    figure = plot_detections(
        images(BACKGROUNDS[background])[0],
        {"boxes": BOXES[0], "classes": [3]},
        "xyxy",
    )
    picture = pixels(figure).astype(int)
    is_outline = np.abs(picture - np.array(class_color(3)) * 255).max(-1) < 3
    axes = figure.axes[0]
    for x, y in [(30, 40), (10, 30), (50, 30)]:
        column, row_from_below = axes.transData.transform((x, y)).round().astype(int)
        row = len(picture) - 1 - row_from_below
        assert is_outline[row - 2 : row + 3, column - 2 : column + 3].any()
    column, row_from_below = axes.transData.transform((30, 30)).round().astype(int)
    assert not is_outline[len(picture) - 1 - row_from_below, column]


def test_the_panel_has_the_aspect_of_the_image():
    figure = plot_detections(images()[0], {"boxes": BOXES[0], "classes": [3]}, "xyxy")
    extent = figure.axes[0].get_window_extent()
    assert extent.width / extent.height == pytest.approx(80 / 60)


def test_padding_is_not_drawn_and_relative_boxes_are_of_the_unpadded_image():
    mask = np.zeros((2, 60, 80), np.int32)
    mask[:, :30, :40] = 1
    truth = {"boxes": np.array([[[0.0, 0.5, 1.0, 1.0]]] * 2), "classes": np.array([[0], [0]])}
    predicted = {**truth, "confidence": np.ones((2, 1)), "num_detections": np.ones(2, int)}
    figure = plot_comparison(images(), truth, predicted, "rel_xyxy", pixel_mask=mask)
    for axes in figure.axes:
        assert axes.get_xlim() == (0, 40)
        assert axes.get_ylim() == (30, 0)
        (box,) = rectangles(axes)
        assert box.get_bbox().bounds == (0, 15, 40, 15)


def test_a_label_stands_on_its_box():
    figure = plot_detections(images()[0], {"boxes": BOXES[0], "classes": [3]}, "xyxy")
    figure.canvas.draw()
    (label,) = (text for text in figure.axes[0].texts if text.get_text() == "class 3")
    extent = label.get_bbox_patch().get_window_extent(figure.canvas.get_renderer())
    left, top = figure.axes[0].transData.transform((10, 20))
    # Half a dot: positions go through data coordinates and back.
    assert extent.x0 == pytest.approx(left, abs=0.5)
    assert extent.y0 == pytest.approx(top, abs=0.5)


def test_labels_stay_inside_and_apart():
    boxes = np.array([[0, 0, 40, 30], [70, 50, 80, 60], [0, 0, 42, 32], [70, 1, 79, 9]])
    figure = plot_detections(images()[0], {"boxes": boxes, "classes": [0, 1, 2, 3]}, "xyxy")
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    axes = figure.axes[0]
    labels = [text for text in axes.texts if text.get_text().startswith("class")]
    extents = [text.get_bbox_patch().get_window_extent(renderer) for text in labels]
    panel = axes.get_window_extent(renderer)
    for i, extent in enumerate(extents):
        # Half a dot: positions go through data coordinates and back.
        assert panel.x0 - 0.5 <= extent.x0
        assert extent.x1 <= panel.x1 + 0.5
        assert panel.y0 - 0.5 <= extent.y0
        assert extent.y1 <= panel.y1 + 0.5
        assert not any(extent.overlaps(other) for other in extents[:i])


def test_the_picture_is_written(tmp_path):
    path = tmp_path / "seen.png"
    figure = plot_comparison(images(), Y_TRUE, Y_PRED, "xyxy", path=path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        np.testing.assert_array_equal(np.asarray(picture)[..., :3], pixels(figure))


def test_max_images():
    assert len(plot_comparison(images(), Y_TRUE, Y_PRED, "xyxy", max_images=1).axes) == 2


def test_pyplot_is_left_alone():
    backend = matplotlib.rcParams._get_backend_or_none()
    plot_comparison(images(), Y_TRUE, Y_PRED, "xyxy")
    assert matplotlib.rcParams._get_backend_or_none() == backend


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": images()[0]}, "`images` must be of shape"),
        ({"images": images()[:0]}, "at least one image"),
        ({"images": images()[:1]}, "`y_true` must hold as many entries as there are images, 1"),
        ({"max_images": 0}, "`max_images` at least 1"),
        ({"bounding_box_format": None}, "`bounding_box_format` is missing"),
        ({"pixel_mask": np.ones((1, 60, 80))}, "`pixel_mask` must hold as many"),
    ],
)
def test_bad_input(change, message, tmp_path):
    path = tmp_path / "seen.png"
    arguments = {"images": images(), "y_true": Y_TRUE, "y_pred": Y_PRED, "path": path}
    with pytest.raises(ValueError, match=message):
        plot_comparison(**{**arguments, "bounding_box_format": "xyxy", **change})
    assert not path.exists()


@pytest.mark.parametrize("size", [(600, 30), (60, 80), (30, 600)])
def test_titles_stay_apart_and_inside(size):
    """Titles of narrow images are wider than these."""
    two = np.zeros((2, *size, 3), np.uint8)
    figure = plot_comparison(two, Y_TRUE, Y_PRED, "xyxy", max_images=2)
    long_name = "_".join(["holiday"] * 30) + ".jpg"
    alone = plot_detections(two[0], {"boxes": BOXES[0], "classes": [3]}, "xyxy", title=long_name)
    (title, *_) = (text.get_text() for text in alone.axes[0].texts)
    assert title.startswith("holiday")
    assert title.endswith("iday.jpg")
    assert "\N{HORIZONTAL ELLIPSIS}" in title
    for drawn in (figure, alone):
        drawn.canvas.draw()
        renderer = drawn.canvas.get_renderer()
        rows = {}
        for axes in drawn.axes:
            title, details = axes.texts[:2]
            left, right = (text.get_window_extent(renderer) for text in (title, details))
            assert left.x1 < right.x0
            rows.setdefault(round(axes.get_position().y1, 3), []).append((left.x0, right.x1))
        for row in rows.values():
            assert row[-1][1] < drawn.bbox.x1
            assert all(one[1] < other[0] for one, other in itertools.pairwise(row))


def test_a_large_image_is_drawn_with_the_pixels_that_are_shown():
    image = np.zeros((3000, 4000, 3), np.uint8)
    image[1500:, :2000] = 255
    axes = plot_detections(image, {"boxes": np.zeros((0, 4)), "classes": []}, "xyxy").axes[0]
    drawn = np.asarray(axes.images[0].get_array())
    shown_size = axes.get_window_extent().size
    assert 2 * shown_size[0] <= drawn.shape[1] < 4000
    assert axes.get_xlim() == (0, 4000)
    assert list(axes.images[0].get_extent()) == [0, 4000, 3000, 0]
    np.testing.assert_array_equal(drawn[-1, [0, -1]], [[255] * 3, [0] * 3])
