"""Pictures of training batches: what is drawn, and from which structures."""

import itertools

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from keras_detr.visualization import plot_batch

IMAGES = np.full((5, 60, 80, 3), 128, np.uint8)
BOXES = {
    "boxes": np.tile(np.array([[[10, 20, 50, 40], [-1, -1, -1, -1]]], "float32"), (5, 1, 1)),
    "classes": np.tile(np.array([[1, -1]]), (5, 1)),
}
BATCH = {"images": IMAGES, "bounding_boxes": BOXES}


def shown(axes):
    return {text.get_text() for text in axes.texts}


@pytest.mark.parametrize(
    "batch",
    [BATCH, (IMAGES, BOXES), ({"images": IMAGES}, BOXES)],
    ids=["dict", "pair", "pair of dicts"],
)
def test_true_objects_are_drawn_without_padding(batch):
    figure = plot_batch(batch, "xyxy", ["a", "b"])
    assert len(figure.axes) == 5
    for axes in figure.axes:
        assert shown(axes) == {"80 x 60", "1 object", "b"}
        (box,) = (patch for patch in axes.patches if isinstance(patch, Rectangle))
        assert box.get_bbox().extents.tolist() == [10, 20, 50, 40]


def test_another_format_than_the_batch_carries_is_refused():
    plot_batch({**BATCH, "bounding_box_format": ["xyxy"] * 5}, "xyxy")
    with pytest.raises(ValueError, match=r"plot_batch takes boxes as `xywh`.*entry: `xyxy`"):
        plot_batch({**BATCH, "bounding_box_format": ["xyxy"] * 5}, "xywh")


def test_four_stand_in_a_row_and_the_rest_below():
    places = [axes.get_position() for axes in plot_batch(BATCH, "xyxy").axes]
    assert [place.y0 for place in places[:4]] == [places[0].y0] * 4
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(places[:4]))
    assert places[4].y1 < places[0].y0


def test_images_of_several_sizes_keep_their_aspect():
    mask = np.zeros((5, 60, 80), "uint8")
    mask[0, :60, :20], mask[1, :30, :80], mask[2:] = 1, 1, 1
    figure = plot_batch({**BATCH, "pixel_mask": mask}, "xyxy")
    extents = [axes.get_window_extent() for axes in figure.axes]
    assert extents[0].width / extents[0].height == pytest.approx(20 / 60)
    assert extents[1].width / extents[1].height == pytest.approx(80 / 30)
    assert "20 x 60" in shown(figure.axes[0])
    assert not any(one.overlaps(other) for i, one in enumerate(extents) for other in extents[:i])


def test_ragged_boxes_of_tensorflow():
    tf = pytest.importorskip("tensorflow")
    boxes = {
        "boxes": tf.ragged.constant([[[1.0, 2, 3, 4]], []], ragged_rank=1, inner_shape=(4,)),
        "classes": tf.ragged.constant([[0], []], dtype="int64"),
    }
    figure = plot_batch((tf.constant(IMAGES[:2]), boxes), "xyxy")
    assert [shown(axes) for axes in figure.axes] == [
        {"80 x 60", "1 object", "class 0"},
        {"80 x 60", "no objects"},
    ]


def test_the_picture_is_written(tmp_path):
    plot_batch(BATCH, "xyxy", path=tmp_path / "batch.png", max_images=2)
    with Image.open(tmp_path / "batch.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"images": IMAGES}, r"Received: a dict of \['images'\]"),
        (IMAGES, "Received: ndarray"),
        ((IMAGES, {"boxes": BOXES["boxes"]}), r"Received: a dict of \['boxes'\]"),
        ((IMAGES[0], BOXES), "shape"),
        ((IMAGES[:0], BOXES), "at least one"),
    ],
)
def test_bad_batches(batch, message):
    with pytest.raises(ValueError, match=message):
        plot_batch(batch, "xyxy")
