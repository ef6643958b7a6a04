"""Box arithmetic: the nine formats, overlaps, and the inverse of the sigmoid.

Every function works on arrays whose last axis holds the four coordinates of a box.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops


class BoxFormat(NamedTuple):
    """Say what the four numbers of a box mean.

    Attributes:
        anchor: "corners" (two opposite corners), "corner_and_size" (top left corner, then size)
            or "center_and_size".
        vertical_first: whether y comes before x, and height before width.
        is_relative: whether coordinates are fractions of the image instead of pixels.
    """

    anchor: str
    vertical_first: bool
    is_relative: bool


__all__ = [
    "BOX_FORMATS",
    "center_to_corners",
    "clip_to_image",
    "convert_box_format",
    "generalized_iou",
    "inverse_sigmoid",
]

BOX_FORMATS = {
    "xyxy": BoxFormat("corners", vertical_first=False, is_relative=False),
    "yxyx": BoxFormat("corners", vertical_first=True, is_relative=False),
    "xywh": BoxFormat("corner_and_size", vertical_first=False, is_relative=False),
    "center_xywh": BoxFormat("center_and_size", vertical_first=False, is_relative=False),
    "center_yxhw": BoxFormat("center_and_size", vertical_first=True, is_relative=False),
    "rel_xyxy": BoxFormat("corners", vertical_first=False, is_relative=True),
    "rel_yxyx": BoxFormat("corners", vertical_first=True, is_relative=True),
    "rel_xywh": BoxFormat("corner_and_size", vertical_first=False, is_relative=True),
    "rel_center_xywh": BoxFormat("center_and_size", vertical_first=False, is_relative=True),
}


# Coordinates this far outside of an image, as fractions of its side, are rounding, not mistakes.
CLIP_TOLERANCE = 1e-4


def check_box_format(bounding_box_format, argument="bounding_box_format"):
    """Return the `BoxFormat` of a format's name.

    Args:
        bounding_box_format: str, one of `BOX_FORMATS`.
        argument: str, the name of the caller's argument, for the error.

    Raises:
        ValueError: the name is missing or unknown.
    """
    if bounding_box_format is None:
        raise ValueError(
            f"`{argument}` is missing. The same four numbers mean different boxes in different "
            f"formats, so there is no default: pass one of {sorted(BOX_FORMATS)}."
        )
    if bounding_box_format not in BOX_FORMATS:
        raise ValueError(
            f"`{argument}` must be one of {sorted(BOX_FORMATS)}. Received: {bounding_box_format!r}."
        )
    return BOX_FORMATS[bounding_box_format]


def convert_box_format(
    boxes: Any, source: str, target: str, image_size: Any = None, stack: Callable = ops.stack
) -> Any:
    """Convert boxes from one format to another.

    Only operators and `stack` touch the boxes, so one table serves `keras.ops`, NumPy and
    tf.data alike.

    Args:
        boxes: float (..., 4).
        source: str, the format of `boxes`, one of `BOX_FORMATS`.
        target: str, the format to return.
        image_size: pair (height, width) in pixels, each a number or an array that broadcasts
            against `boxes[..., 0]` (for a batch of boxes (B, N, 4): shape (B, 1)). Needed only
            between a relative and an absolute format.
        stack: the `stack(arrays, axis)` of the array library that `boxes` belongs to.

    Returns:
        float (..., 4). Boxes are neither clipped nor reordered.

    Raises:
        ValueError: a format is unknown, or `image_size` is needed and missing.

    Example:
        ```python
        from keras_detr.ops.boxes import convert_box_format

        boxes = np.array([[10.0, 20.0, 30.0, 60.0]])
        print(convert_box_format(boxes, "xyxy", "rel_center_xywh", image_size=(100, 200)))
        ```
    """
    from_format = check_box_format(source, "source")
    to_format = check_box_format(target, "target")
    if from_format == to_format:
        return boxes
    if from_format.is_relative != to_format.is_relative and image_size is None:
        raise ValueError(
            f"`image_size` is needed to convert boxes from {source!r} to {target!r}: one is "
            "relative to the image, the other in pixels. Pass (height, width)."
        )
    a, b, c, d = (boxes[..., i] for i in range(4))
    if from_format.vertical_first:
        a, b, c, d = b, a, d, c
    if from_format.anchor == "corners":
        left, top, width, height = a, b, c - a, d - b
    elif from_format.anchor == "corner_and_size":
        left, top, width, height = a, b, c, d
    else:
        left, top, width, height = a - c * 0.5, b - d * 0.5, c, d
    # A shortcut where both anchors name the point directly keeps the round trip exact.
    if from_format.anchor == to_format.anchor:
        first, second, third, fourth = a, b, c, d
    elif to_format.anchor == "corners":
        first, second, third, fourth = left, top, left + width, top + height
    elif to_format.anchor == "corner_and_size":
        first, second, third, fourth = left, top, width, height
    else:
        first, second, third, fourth = left + width * 0.5, top + height * 0.5, width, height
    if from_format.is_relative != to_format.is_relative:
        image_height, image_width = image_size
        if to_format.is_relative:
            first, third = first / image_width, third / image_width
            second, fourth = second / image_height, fourth / image_height
        else:
            first, third = first * image_width, third * image_width
            second, fourth = second * image_height, fourth * image_height
    if to_format.vertical_first:
        first, second, third, fourth = second, first, fourth, third
    return stack([first, second, third, fourth], axis=-1)


def center_to_corners(boxes: Any, library: Any = ops):
    """Convert (center x, center y, width, height) to (left, top, right, bottom).

    Args:
        boxes: float (..., 4), relative or absolute.
        library: `keras.ops` or `numpy`, whichever the boxes belong to.

    Example:
        ```python
        from keras_detr.ops.boxes import center_to_corners

        print(center_to_corners(np.array([[0.5, 0.5, 0.2, 0.4]])))  # [[0.4, 0.3, 0.6, 0.7]]
        ```
    """
    center, half_size = boxes[..., :2], boxes[..., 2:] * 0.5
    return library.concatenate([center - half_size, center + half_size], axis=-1)


class ClippedBoxes(NamedTuple):
    """Hold boxes that were clipped to their image.

    Attributes:
        boxes: float (..., 4), rel_center_xywh inside of the image.
        is_clipped: bool (...), whether a box reached over its image's edge.
        has_area: bool (...), whether an area is left; false where a coordinate isn't finite.
    """

    boxes: Any
    is_clipped: Any
    has_area: Any


def clip_to_image(boxes: Any, library: Any = ops) -> Any:
    """Clip boxes to their image. Those without an area afterwards are no objects for a loss.

    Args:
        boxes: float (..., 4), rel_center_xywh.
        library: `keras.ops` or `numpy`, whichever the boxes belong to.

    Returns:
        `ClippedBoxes`.

    Example:
        ```python
        from keras_detr.ops.boxes import clip_to_image

        print(clip_to_image(np.array([[1.0, 0.5, 0.2, 0.4]])))  # [[0.95, 0.5, 0.1, 0.4]]
        ```
    """
    is_finite = library.all(library.isfinite(boxes), axis=-1)
    boxes = library.where(library.expand_dims(is_finite, -1), boxes, 0.0)
    corners = center_to_corners(boxes, library)
    clipped = library.clip(corners, 0.0, 1.0)
    is_clipped = library.any(library.abs(clipped - corners) > CLIP_TOLERANCE, axis=-1)
    left_top, right_bottom = clipped[..., :2], clipped[..., 2:]
    inside = library.concatenate(
        [(left_top + right_bottom) * 0.5, right_bottom - left_top], axis=-1
    )
    boxes = library.where(library.expand_dims(is_clipped, -1), inside, boxes)
    has_area = library.logical_and(is_finite, library.all(boxes[..., 2:] > 0.0, axis=-1))
    return ClippedBoxes(boxes, is_clipped, has_area)


def generalized_iou(boxes_xyxy: Any, other_boxes_xyxy: Any, epsilon: float = 0.0) -> Any:
    """Return the generalized intersection over union of boxes, element by element.

    Shapes broadcast, so `boxes[:, :, None]` against `others[:, None]` gives all pairs. Boxes of no
    area are allowed: 0/0 counts as 0.

    Args:
        boxes_xyxy, other_boxes_xyxy: float (..., 4), corners.
        epsilon: float, added to the areas that are divided by.

    Returns:
        float (...), in [-1, 1].

    Example:
        ```python
        from keras_detr.ops.boxes import generalized_iou

        boxes = np.array([[0.0, 0, 2, 2], [4, 4, 6, 6]])
        print(generalized_iou(boxes, boxes + 1))
        ```

    Source: Rezatofighi et al. 2019, algorithm 1.
    """
    # One coordinate at a time: slices of broadcast corners would cost several times as much.
    left, top, right, bottom = (boxes_xyxy[..., i] for i in range(4))
    other_left, other_top, other_right, other_bottom = (other_boxes_xyxy[..., i] for i in range(4))
    intersection = _area(
        ops.maximum(left, other_left),
        ops.maximum(top, other_top),
        ops.minimum(right, other_right),
        ops.minimum(bottom, other_bottom),
    )
    area = _area(left, top, right, bottom)
    other_area = _area(other_left, other_top, other_right, other_bottom)
    union = area + other_area - intersection
    hull = _area(
        ops.minimum(left, other_left),
        ops.minimum(top, other_top),
        ops.maximum(right, other_right),
        ops.maximum(bottom, other_bottom),
    )
    iou = _divide_or_zero(intersection, union + epsilon)
    return iou - _divide_or_zero(hull - union, hull + epsilon)


def inverse_sigmoid(probability: Any, epsilon: float = 1e-5):
    """Return the logit of a probability, finite for 0 and 1.

    Args:
        probability: float, values outside [0, 1] are clipped.
        epsilon: float, the least value of the numerator and of the denominator.

    Example:
        ```python
        from keras_detr.ops.boxes import inverse_sigmoid

        print(inverse_sigmoid(np.array([0.5, 0.9], "float32")))  # [0, 2.197]
        ```

    Source: Deformable DETR, util/misc.py.
    """
    probability = ops.clip(probability, 0.0, 1.0)
    return ops.log(ops.maximum(probability, epsilon) / ops.maximum(1.0 - probability, epsilon))


def _area(left, top, right, bottom):
    return ops.maximum(right - left, 0.0) * ops.maximum(bottom - top, 0.0)


def _divide_or_zero(numerator, denominator):
    # Both branches of a `where` are differentiated, so the unused one must be finite too.
    is_zero = ops.equal(denominator, 0.0)
    safe = ops.where(is_zero, ops.ones_like(denominator), denominator)
    return ops.where(is_zero, ops.zeros_like(numerator), numerator / safe)
