"""From arrays to drawn objects: formats, padding, thresholds, order, errors."""

import numpy as np
import pytest

from keras_detr.ops.boxes import BOX_FORMATS, convert_box_format
from keras_detr.visualization.drawn_objects import drawn_objects, unpadded_image

SIZE = (60, 80)
BOXES = np.array([[10, 20, 50, 40], [0, 0, 80, 60], [-1, -1, -1, -1]], np.float32)
TRUTH = {"boxes": BOXES, "classes": np.array([2, 0, -1])}
DETECTED = {**TRUTH, "confidence": np.array([0.9, 0.25, -1.0])}


@pytest.mark.parametrize("bounding_box_format", sorted(BOX_FORMATS))
def test_every_format_gives_the_same_corners(bounding_box_format):
    boxes = convert_box_format(BOXES, "xyxy", bounding_box_format, SIZE, stack=np.stack)
    found = drawn_objects({**TRUTH, "boxes": boxes}, bounding_box_format, SIZE)
    corners = sorted(item.box_xyxy for item in found)
    # float32 coordinates of up to 80 pixels.
    np.testing.assert_allclose(corners, [(0, 0, 80, 60), (10, 20, 50, 40)], atol=1e-4)


def test_labels():
    assert [d.label for d in drawn_objects(TRUTH, "xyxy", SIZE)] == ["class 0", "class 2"]
    named = drawn_objects(DETECTED, "xyxy", SIZE, class_names=["cat", "dog", "bird"])
    assert [item.label for item in named] == ["cat 0.25", "bird 0.90"]


def test_the_most_certain_comes_last_and_on_top():
    turned = {key: value[::-1] for key, value in DETECTED.items()}
    for objects in (DETECTED, turned):
        assert [d.class_id for d in drawn_objects(objects, "xyxy", SIZE)] == [0, 2]
    large_is_certain = {**DETECTED, "confidence": np.array([0.25, 0.9, -1.0])}
    assert [d.class_id for d in drawn_objects(large_is_certain, "xyxy", SIZE)] == [2, 0]


def test_the_small_end_on_top_of_the_large():
    turned = {key: value[::-1] for key, value in TRUTH.items()}
    for objects in (TRUTH, turned):
        assert [d.class_id for d in drawn_objects(objects, "xyxy", SIZE)] == [0, 2]


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 2), (0.25, 2), (0.3, 1), (0.95, 0)])
def test_threshold(threshold, count):
    found = drawn_objects(DETECTED, "xyxy", SIZE, confidence_threshold=threshold)
    assert len(found) == count


@pytest.mark.parametrize("num_detections", [0, 1, 2, 3])
def test_only_num_detections_are_drawn(num_detections):
    objects = {**DETECTED, "num_detections": np.int32(num_detections)}
    assert len(drawn_objects(objects, "xyxy", SIZE)) == min(num_detections, 2)


def test_boxes_without_place_are_left_out():
    boxes = BOXES.copy()
    boxes[0, 1] = np.nan
    assert [d.class_id for d in drawn_objects({**TRUTH, "boxes": boxes}, "xyxy", SIZE)] == [0]


def test_masks_are_made_when_they_are_asked_for():
    masks = np.zeros((3, 100, 100), bool)
    masks[0, 20:40, 10:50] = True
    found = drawn_objects({**TRUTH, "masks": masks}, "xyxy", SIZE, canvas_size=(100, 100))
    dense = {item.class_id: item.mask() for item in found}
    assert {mask.shape for mask in dense.values()} == {SIZE}
    np.testing.assert_array_equal(dense[2], masks[0, :60, :80])
    assert not dense[0].any()
    assert all(item.mask is None for item in drawn_objects(TRUTH, "xyxy", SIZE))


def test_no_objects():
    none = {"boxes": np.zeros((0, 4)), "classes": np.zeros((0,))}
    assert drawn_objects(none, "xyxy", SIZE) == []


@pytest.mark.parametrize(
    ("objects", "kwargs", "message"),
    [
        (TRUTH, {"bounding_box_format": None}, "`bounding_box_format` is missing"),
        (TRUTH, {"bounding_box_format": "coco"}, "'coco'"),
        ({**TRUTH, "boxes": BOXES[:, :3]}, {}, r"\(3, 3\) and \(3,\)"),
        ({**TRUTH, "classes": TRUTH["classes"][:, None]}, {}, r"\(3, 4\) and \(3, 1\)"),
        (TRUTH, {"class_names": ["cat", "dog"]}, "2 names, and there is an object of class 2"),
    ],
)
def test_bad_input(objects, kwargs, message):
    with pytest.raises(ValueError, match=message):
        drawn_objects(objects, **{"bounding_box_format": "xyxy", "image_size": SIZE, **kwargs})


def test_padding_is_cropped():
    image = np.zeros((6, 8, 3), np.float32)
    image[:4, :5] = 77.4
    mask = np.zeros((6, 8), np.int32)
    mask[:4, :5] = 1
    cropped = unpadded_image(image, mask)
    assert cropped.dtype == np.uint8
    np.testing.assert_array_equal(cropped, np.full((4, 5, 3), 77))


def test_values_beyond_an_image_are_clipped():
    image = np.array([[[-5.0, 300.0, np.nan]]])
    np.testing.assert_array_equal(unpadded_image(image), [[[0, 255, 0]]])


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 1), (1, 6, 8, 3)])
def test_bad_image(shape):
    with pytest.raises(ValueError, match=r"\(height, width, 3\)"):
        unpadded_image(np.zeros(shape))


@pytest.mark.parametrize("mask", [np.zeros((6, 8)), np.ones((8, 6))])
def test_bad_mask(mask):
    with pytest.raises(ValueError, match="`pixel_mask` must be of the shape"):
        unpadded_image(np.zeros((6, 8, 3)), mask)


def test_bytes_stay_bytes():
    """As real numbers, 8000 x 6000 pixels would take gigabytes."""
    image = np.zeros((6, 8, 3), np.uint8)
    assert np.shares_memory(unpadded_image(image), image)
