"""Masks on pictures, read back pixel by pixel."""

import tracemalloc

import keras
import numpy as np
import pytest

from keras_detr.inference import encode_masks
from keras_detr.visualization import plot_batch, plot_comparison, plot_detections
from keras_detr.visualization.class_colors import class_color
from keras_detr.visualization.drawn_masks import cells_of_mask

SIZE = (60, 80)
GREY = 100
IMAGE = np.full((*SIZE, 3), GREY, np.uint8)
OPACITY = 0.4
# Two overlapping masks, and padding.
MASKS = np.zeros((3, *SIZE), bool)
MASKS[0, 20:50, 10:40], MASKS[1, 30:58, 30:70] = True, True
OBJECTS = {
    "boxes": np.array([[10, 20, 40, 50], [30, 30, 70, 58], [-1, -1, -1, -1]], "float32"),
    "classes": np.array([2, 0, -1]),
}


def picture_of(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def color_at(figure, x, y, panel=0):
    """Return what is drawn at a place in pixels of the image."""
    picture = picture_of(figure)
    column, row = figure.axes[panel].transData.transform((x, y)).astype(int)
    return picture[len(picture) - 1 - row, column]


def filled(*class_ids):
    """Return the color of the image under the masks of some classes, the first lowest."""
    color = np.full(3, float(GREY))
    for class_id in class_ids:
        color = (1 - OPACITY) * color + OPACITY * 255 * np.array(class_color(class_id))
    return pytest.approx(color, abs=2)


def logits_of(masks):
    """Return the logits of masks whose sides are multiples of 4."""
    parts = masks.reshape(len(masks), SIZE[0] // 4, 4, SIZE[1] // 4, 4)
    return parts.mean(axis=(2, 4), dtype="float32") * 10 - 5


@pytest.mark.parametrize(
    "masks",
    [
        {"masks": MASKS},
        {"masks": MASKS.astype("int32")},
        {"masks": list(MASKS[:2])},
        {"masks": encode_masks(MASKS[:2])},
        {"masks": keras.ops.convert_to_tensor(MASKS)},
        {"mask_logits": logits_of(MASKS)},
    ],
    ids=["bool", "numbers", "list", "encoded", "tensor", "logits"],
)
def test_masks_have_the_color_of_their_class(masks):
    figure = plot_detections(IMAGE, {**OBJECTS, **masks}, "xyxy")
    # The larger one is drawn first.
    for (x, y), classes in {
        (20, 40): [2],
        (55, 50): [0],
        (35, 40): [0, 2],
        (5, 5): [],
        (60, 20): [],
    }.items():
        assert color_at(figure, x + 0.5, y + 0.5) == filled(*classes)


def test_overlapping_masks_have_outlines():
    alike = {**OBJECTS, "classes": np.array([2, 2, -1])}
    picture = picture_of(plot_detections(IMAGE, {**alike, "masks": MASKS}, "xyxy"))
    without = picture_of(plot_detections(IMAGE, alike, "xyxy"))
    figure = plot_detections(IMAGE, {**alike, "masks": MASKS}, "xyxy")
    # The right edge of the upper one, inside the lower one; both boxes are elsewhere.
    masks = MASKS.copy()
    masks[0, :, 36:] = False
    figure = plot_detections(IMAGE, {**alike, "masks": masks}, "xyxy")
    assert np.abs(color_at(figure, 36, 45) - 255 * np.array(class_color(2))).max() < 40
    assert (picture != without).any()


def test_masks_reach_to_the_edge_of_the_image():
    everything = {"boxes": [[20, 20, 30, 30]], "classes": [1], "masks": np.ones((1, *SIZE), bool)}
    figure = plot_detections(IMAGE, everything, "xyxy")
    for x, y in [(0.6, 0.6), (79.4, 59.4), (40, 0.6)]:
        assert np.abs(color_at(figure, x, y) - np.full(3, GREY)).max() > 20


def test_holes_are_seen_through():
    mask = np.zeros((1, *SIZE), bool)
    mask[0, 10:50, 10:70] = True
    mask[0, 25:35, 30:50] = False
    figure = plot_detections(
        IMAGE, {"boxes": [[0, 0, 80, 60]], "classes": [1], "masks": mask}, "xyxy"
    )
    assert color_at(figure, 40, 30) == filled()
    assert color_at(figure, 20, 30) == filled(1)


def test_an_empty_mask_is_a_box():
    figure = plot_detections(IMAGE, {**OBJECTS, "masks": np.zeros_like(MASKS)}, "xyxy")
    assert color_at(figure, 20, 40) == filled()


def test_padding_is_cut_off():
    """The unpadded image is the upper left quarter."""
    pixel_mask = np.zeros(SIZE, "uint8")
    pixel_mask[:30, :40] = 1
    mask = np.zeros((1, *SIZE), bool)
    mask[0, 10:20, 10:30] = True
    objects = {"boxes": np.array([[5, 5, 35, 25]]), "classes": np.array([1])}
    for masks in ({"masks": mask}, {"mask_logits": logits_of(mask)}):
        figure = plot_detections(IMAGE, {**objects, **masks}, "xyxy", pixel_mask=pixel_mask)
        # Beside the mask's edges, and at its center.
        for x, y in [(8, 15), (32, 15), (20, 8), (20, 22)]:
            assert color_at(figure, x, y) == filled()
        assert color_at(figure, 20, 15) == filled(1)


def test_only_confident_masks_are_drawn():
    detections = {**OBJECTS, "masks": MASKS, "confidence": np.array([0.9, 0.2, 0.0])}
    figure = plot_detections(IMAGE, detections, "xyxy")
    assert color_at(figure, 20.5, 40.5) == filled(2)
    assert color_at(figure, 55.5, 50.5) == filled()
    # Of less confident ones there needn't be any.
    assert plot_detections(IMAGE, {**detections, "masks": MASKS[:1]}, "xyxy").axes


def test_truth_and_predictions_have_their_own_masks():
    truth = {**{name: value[None] for name, value in OBJECTS.items()}, "masks": MASKS[None]}
    predicted = {**truth, "confidence": np.array([[0.9, 0.8, 0.0]])}
    predicted["masks"] = [encode_masks(MASKS[:2] & (np.arange(80) < 35))]
    figure = plot_comparison(IMAGE[None], truth, predicted, "xyxy")
    assert color_at(figure, 55, 50, panel=0) == filled(0)
    assert color_at(figure, 55, 50, panel=1) == filled()
    assert [color_at(figure, 20, 40, panel) for panel in (0, 1)] == [filled(2)] * 2


def test_a_batch_is_drawn_with_the_masks_of_its_targets():
    targets = {name: np.stack([value, value]) for name, value in OBJECTS.items()}
    images, masks = np.stack([IMAGE, IMAGE]), np.stack([MASKS, np.zeros_like(MASKS)])
    for some in (masks, [MASKS[:2], np.zeros_like(MASKS)], keras.ops.convert_to_tensor(masks)):
        batch = {"images": images, "bounding_boxes": {**targets, "masks": some}}
        figure = plot_batch(batch, "xyxy")
        assert color_at(figure, 20, 40, panel=0) == filled(2)
        assert color_at(figure, 20, 40, panel=1) == filled()


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"masks": MASKS[:, :30]}, r"size of the image, \(60, 80\).*Received: \(30, 80\)"),
        ({"masks": encode_masks(MASKS[:, :30])}, r"Received: \(30, 80\) at position"),
        ({"masks": [[1, 2], [3, 4], [5, 6]]}, r"size of the image.*Received"),
        ({"masks": MASKS[:1]}, r"one mask an object, of 3 objects\. Received: 1"),
        ({"masks": [*MASKS, *MASKS]}, r"Received: 6"),
        ({"mask_logits": logits_of(MASKS)[:1]}, r"`mask_logits` must be one mask an object"),
    ],
)
def test_masks_that_do_not_fit(masks, message):
    with pytest.raises(ValueError, match=message):
        plot_detections(IMAGE, {**OBJECTS, **masks}, "xyxy")


def test_one_mask_is_in_memory_at_a_time():
    size = (1000, 1000)
    mask = np.zeros(size, bool)
    mask[100:900, 200:800] = True
    image = np.zeros((*size, 3), np.uint8)

    def memory(num_objects):
        objects = {
            "boxes": np.full((num_objects, 4), (200.0, 100.0, 800.0, 900.0)),
            "classes": np.zeros(num_objects, int),
            "masks": encode_masks([mask]) * num_objects,
        }
        tracemalloc.start()
        try:
            figure = plot_detections(image, objects, "xyxy")
            assert len(figure.axes) == 1
            return tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    memory(1)
    (kept_of_one, most_of_one), (kept, most) = memory(1), memory(4)
    # A mask is 1 MB as bool, and more than 4 MB as the numbers that contours are made of.
    assert most - most_of_one < 0.9e6
    assert kept - kept_of_one < 0.9e6


def test_cells_of_a_large_mask():
    mask = np.zeros((400, 600), bool)
    mask[100:203, 301:399] = True
    cells = cells_of_mask(mask, (100, 150))
    # Four pixels a side make a cell: what counts is the area, and where it is.
    assert cells.share.sum() * 16 == pytest.approx(mask.sum(), rel=1e-3)
    assert np.diff(cells.x).tolist() == [4.0] * (len(cells.x) - 1)
    assert (cells.share.sum(0) @ cells.x) / cells.share.sum() == pytest.approx(350, abs=0.05)
    assert (cells.share.sum(1) @ cells.y) / cells.share.sum() == pytest.approx(151.5, abs=0.05)
    assert not cells.share[[0, -1]].any()
    assert not cells.share[:, [0, -1]].any()
    assert cells_of_mask(np.zeros((4, 4), bool), (4, 4)) is None
