"""Formats against one conversion written per box, overlaps against areas counted per pair."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from scipy.special import logit

from keras_detr.ops.boxes import (
    BOX_FORMATS,
    center_to_corners,
    check_box_format,
    clip_to_image,
    convert_box_format,
    generalized_iou,
    inverse_sigmoid,
)
from tests.ops.gradients import value_and_gradients

pytestmark = pytest.mark.every_backend

FORMATS = sorted(BOX_FORMATS)
RELATIVE = [name for name in FORMATS if name.startswith("rel_")]
ABSOLUTE = [name for name in FORMATS if not name.startswith("rel_")]


def write_box(left, top, right, bottom, name, height, width):
    """Return one box in a format, from its corners in pixels."""
    if name.startswith("rel_"):
        left, right, top, bottom = left / width, right / width, top / height, bottom / height
    x, y, w, h = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    return {
        "xyxy": (left, top, right, bottom),
        "yxyx": (top, left, bottom, right),
        "xywh": (left, top, w, h),
        "center_xywh": (x, y, w, h),
        "center_yxhw": (y, x, h, w),
    }[name.removeprefix("rel_")]


def write_boxes(corners, name, sizes):
    """Return (images, boxes, 4) in a format, box by box."""
    return np.array(
        [
            [write_box(*box, name, height, width) for box in boxes]
            for boxes, (height, width) in zip(corners, sizes, strict=True)
        ]
    )


def corners_of_images(seed, num_images=3, num_boxes=5):
    """Return boxes in pixels (left, top, right, bottom) and each image's (height, width)."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(50, 400, (num_images, 2))
    points = rng.uniform(-0.1, 1.1, (num_images, num_boxes, 2, 2))
    points = np.sort(points, axis=2) * sizes[:, None, None, ::-1]
    return points.reshape(num_images, num_boxes, 4), sizes


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_every_pair_of_formats_with_sizes_of_each_image(source, target):
    corners, sizes = corners_of_images(1)
    image_size = sizes[:, :1], sizes[:, 1:]
    boxes, expected = write_boxes(corners, source, sizes), write_boxes(corners, target, sizes)
    # float64: nothing but rounding in the sixteenth digit may differ.
    by_numpy = convert_box_format(boxes, source, target, image_size, stack=np.stack)
    assert isinstance(by_numpy, np.ndarray)
    np.testing.assert_allclose(by_numpy, expected, rtol=1e-12, atol=1e-12)
    image_size = [ops.convert_to_tensor(side, "float32") for side in image_size]
    tensors = ops.convert_to_tensor(boxes, "float32")
    by_keras = convert_box_format(tensors, source, target, image_size)
    assert ops.is_tensor(by_keras)
    # Some rounding errors of float32, of coordinates up to 440.
    largest = np.abs(expected).max()
    np.testing.assert_allclose(ops.convert_to_numpy(by_keras), expected, atol=1e-6 * largest)


@given(
    boxes=arrays(np.float64, (2, 4), elements=st.floats(-1000, 1000, width=32)),
    source=st.sampled_from(FORMATS),
    target=st.sampled_from(FORMATS),
    height=st.integers(1, 4000),
    width=st.integers(1, 4000),
)
def test_there_and_back_again(boxes, source, target, height, width):
    size = (height, width)
    there = convert_box_format(boxes, source, target, size, stack=np.stack)
    back = convert_box_format(there, target, source, size, stack=np.stack)
    # Adding and taking away rounds at the size of the largest coordinate, in pixels.
    scale = 4000 if source.startswith("rel_") != target.startswith("rel_") else 1
    np.testing.assert_allclose(back, boxes, rtol=0, atol=1e-12 * scale * (1 + np.abs(boxes).max()))


def test_a_format_is_itself_bit_for_bit():
    boxes = np.random.default_rng(2).normal(size=(7, 4)).astype("float32")
    for name in FORMATS:
        assert convert_box_format(boxes, name, name) is boxes


@pytest.mark.parametrize("shape", [(4,), (0, 4), (2, 0, 4), (2, 3, 5, 4)])
def test_any_number_of_axes(shape):
    boxes = np.random.default_rng(3).uniform(size=shape)
    result = convert_box_format(boxes, "xywh", "center_xywh", stack=np.stack)
    assert result.shape == shape
    np.testing.assert_allclose(result[..., :2], boxes[..., :2] + boxes[..., 2:] / 2)
    np.testing.assert_array_equal(result[..., 2:], boxes[..., 2:])


def test_inputs_are_not_changed():
    boxes = np.random.default_rng(4).uniform(size=(3, 4))
    kept = boxes.copy()
    convert_box_format(boxes, "rel_yxyx", "center_xywh", (10, 20), stack=np.stack)
    np.testing.assert_array_equal(boxes, kept)


def test_a_missing_format_says_that_there_is_no_default():
    with pytest.raises(ValueError, match=r"`bounding_box_format` is missing.*no default.*'xyxy'"):
        check_box_format(None)
    with pytest.raises(ValueError, match="`source` is missing"):
        convert_box_format(np.zeros((1, 4)), None, "xyxy")
    with pytest.raises(ValueError, match="`target` is missing"):
        convert_box_format(np.zeros((1, 4)), "xyxy", None)


def test_an_unknown_format_is_shown():
    with pytest.raises(ValueError, match=r"`bounding_box_format` must be one of .*'coco'"):
        check_box_format("coco")
    with pytest.raises(ValueError, match=r"`target` must be one of .*'XYXY'"):
        convert_box_format(np.zeros((1, 4)), "xyxy", "XYXY")


@pytest.mark.parametrize("relative", RELATIVE)
@pytest.mark.parametrize("absolute", ABSOLUTE)
def test_a_missing_image_size_is_asked_for(relative, absolute):
    for pair in ((relative, absolute), (absolute, relative)):
        with pytest.raises(ValueError, match=r"`image_size` is needed.*Pass \(height, width\)"):
            convert_box_format(np.zeros((1, 4)), *pair)


def test_center_to_corners():
    corners, sizes = corners_of_images(5)
    boxes = ops.convert_to_tensor(write_boxes(corners, "rel_center_xywh", sizes), "float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(center_to_corners(boxes)),
        write_boxes(corners, "rel_xyxy", sizes),
        atol=1e-6,
    )


@pytest.mark.parametrize("library", [np, ops], ids=["numpy", "backend"])
def test_boxes_are_clipped_to_their_image(library):
    boxes_and_results = [
        # A box, rel_center_xywh; what is left; is it clipped, and has it an area?
        ((0.5, 0.5, 0.25, 0.5), (0.5, 0.5, 0.25, 0.5), False, True),
        ((0.0, 0.5, 1.0, 0.5), (0.25, 0.5, 0.5, 0.5), True, True),
        # By rounding over the edge.
        ((0.5, 0.5, 1.0001, 0.5), (0.5, 0.5, 1.0001, 0.5), False, True),
        ((0.5, 0.5, 0.0, 0.5), (0.5, 0.5, 0.0, 0.5), False, False),
        ((0.5, 0.5, 0.25, -0.5), (0.5, 0.5, 0.25, -0.5), False, False),
        ((-0.5, 0.5, 0.5, 0.5), (0.0, 0.5, 0.0, 0.5), True, False),
        ((0.5, np.nan, 0.5, 0.5), (0.0, 0.0, 0.0, 0.0), False, False),
        ((0.5, 0.5, np.inf, 0.5), (0.0, 0.0, 0.0, 0.0), False, False),
    ]
    boxes, *expected = map(np.array, zip(*boxes_and_results, strict=True))
    boxes = boxes.astype("float32")
    result = clip_to_image(boxes if library is np else ops.convert_to_tensor(boxes), library)
    for actual, value in zip(result, expected, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(actual), value, rtol=1e-6)


def giou_of_pair(a, b):
    """Return the generalized IoU of two boxes, 0/0 counting as 0."""

    def area(left, top, right, bottom):
        return max(right - left, 0.0) * max(bottom - top, 0.0)

    common = area(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    hull = area(min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
    union = area(*a) + area(*b) - common
    return (common / union if union else 0.0) - ((hull - union) / hull if hull else 0.0)


# Boxes and the value by hand.
PAIRS = {
    "identical": ([0, 0, 2, 2], [0, 0, 2, 2], 1.0),
    "half": ([0, 0, 2, 2], [0, 0, 2, 1], 0.5),
    "nested": ([0, 0, 4, 4], [1, 1, 3, 3], 0.25),
    "disjoint": ([0, 0, 1, 1], [3, 0, 4, 1], -0.5),
    "touching": ([0, 0, 1, 1], [1, 0, 2, 1], 0.0),
    "at a corner": ([0, 0, 1, 1], [1, 1, 2, 2], -0.5),
    "point inside": ([0, 0, 2, 2], [1, 1, 1, 1], 0.0),
    "point outside": ([0, 0, 1, 1], [2, 2, 2, 2], -0.75),
    "two points": ([0, 0, 0, 0], [1, 1, 1, 1], -1.0),
    "one point twice": ([1, 1, 1, 1], [1, 1, 1, 1], 0.0),
    "line on itself": ([0, 0, 1, 0], [0, 0, 1, 0], 0.0),
    "line across": ([0, 0, 2, 2], [0, 1, 2, 1], 0.0),
}


@pytest.mark.parametrize("name", PAIRS)
def test_generalized_iou_by_hand(name):
    a, b, expected = PAIRS[name]
    assert giou_of_pair(a, b) == pytest.approx(expected)
    for pair in ((a, b), (b, a)):
        tensors = [ops.convert_to_tensor(box, "float32") for box in pair]
        assert float(generalized_iou(*tensors)) == pytest.approx(expected, abs=1e-6)


def test_generalized_iou_of_all_pairs():
    rng = np.random.default_rng(6)
    # Whole numbers from a small range make many equal edges, points and lines.
    boxes = rng.integers(0, 5, (40, 2, 2)).astype("float32")
    boxes = np.concatenate([boxes, rng.uniform(0, 1, (40, 2, 2)).astype("float32")])
    boxes = np.sort(boxes, axis=1).reshape(-1, 4)
    expected = [[giou_of_pair(a, b) for b in boxes.astype(float)] for a in boxes.astype(float)]
    tensor = ops.convert_to_tensor(boxes)
    result = ops.convert_to_numpy(generalized_iou(tensor[:, None], tensor[None]))
    assert result.shape == (80, 80)
    np.testing.assert_allclose(result, expected, atol=2e-5)
    assert result.min() >= -1
    assert result.max() <= 1 + 1e-6


@pytest.mark.parametrize("name", PAIRS)
def test_generalized_iou_has_finite_gradients(name):
    a, b, _ = PAIRS[name]
    _, gradients = value_and_gradients(generalized_iou, np.array(a), np.array(b))
    assert np.isfinite(gradients).all()


def test_the_gradient_of_generalized_iou_of_disjoint_boxes():
    _, (gradient, _) = value_and_gradients(
        generalized_iou, np.array([0, 0, 1, 1]), np.array([3, -1, 5, 2])
    )
    # By hand: union / hull - 1, the union (r - l) (b - t) + 6, and the hull 3 (5 - l).
    np.testing.assert_allclose(gradient, [6 / 225, -1 / 15, 1 / 15, 1 / 15], rtol=1e-5)


def test_inverse_sigmoid():
    inner = np.linspace(1e-4, 1 - 1e-4, 1001)
    result = ops.convert_to_numpy(inverse_sigmoid(ops.convert_to_tensor(inner, "float32")))
    # 1 - p loses digits where p is close to 1: 6e-8 of 1e-4.
    np.testing.assert_allclose(result, logit(inner), atol=2e-3, rtol=1e-5)
    np.testing.assert_allclose(result[:900], logit(inner)[:900], rtol=1e-5, atol=1e-5)


def test_inverse_sigmoid_at_and_beyond_its_ends():
    ends = ops.convert_to_tensor([0.0, 1.0, -3.0, 4.0], "float32")
    largest = math.log(1e5)
    np.testing.assert_allclose(
        ops.convert_to_numpy(inverse_sigmoid(ends)),
        [-largest, largest, -largest, largest],
        rtol=1e-6,
    )
    result = ops.convert_to_numpy(inverse_sigmoid(ends, epsilon=1e-2))
    np.testing.assert_allclose(np.abs(result), math.log(1e2), rtol=1e-6)


def test_inverse_sigmoid_has_finite_gradients_at_its_ends():
    _, (gradient,) = value_and_gradients(
        lambda p: ops.sum(inverse_sigmoid(p)), np.array([0.0, 1.0, 0.5])
    )
    assert np.isfinite(gradient).all()
    assert gradient[2] == pytest.approx(4.0)
