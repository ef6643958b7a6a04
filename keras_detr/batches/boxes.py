"""What makes a box wrong: a coordinate that is no number, or a place outside of its image."""

import numpy as np

from keras_detr.batches.image_ids import id_in_brackets
from keras_detr.ops.boxes import CLIP_TOLERANCE, clip_to_image, convert_box_format

_OUTSIDE_ADVICE = (
    "Most often the boxes are in another format than the `bounding_box_format` declared; "
    "otherwise remove or correct these boxes."
)
# Images with a shorter side may have boxes of less than a pixel.
LEAST_SIDE = 16


def check_boxes(boxes, is_object, heights, widths, bounding_box_format, image_ids=None):
    """Check the boxes of objects, and find those without an area.

    Args:
        boxes: float32 (batch, N, 4).
        is_object: bool (batch, N), false for padding, which may hold anything.
        heights: int (batch,) or (1,), of the images without padding, in pixels.
        widths: int (batch,) or (1,).
        bounding_box_format: str, one of `keras_detr.ops.boxes.BOX_FORMATS`.
        image_ids: (batch,), by which messages name images, or `None`.

    Returns:
        bool (batch, N): the objects without an area inside of their image. The loss leaves them
        out, by the same rule.

    Raises:
        ValueError: a box isn't finite, or lies wholly outside its image; or all boxes are fractions
            in 0..1 though the format is in pixels. A box may reach over the edge, by rounding only
            touch it, or have no area.
    """
    boxes = np.where(is_object[..., None], boxes, np.float32(0))
    is_broken = ~np.isfinite(boxes).all(-1)
    if is_broken.any():
        image, position = np.argwhere(is_broken)[0]
        raise ValueError(
            f"`boxes` must be finite. Received: {boxes[image, position].tolist()} for box "
            f"{position} of image {image}{id_in_brackets(image, image_ids)}."
        )
    sizes = tuple(np.broadcast_to(sides, len(boxes)) for sides in (heights, widths))
    if not bounding_box_format.startswith("rel"):
        _check_pixels(boxes, is_object, sizes, bounding_box_format)
    # Fractions of an image whose mask is empty are infinite or no numbers: there is no area.
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        columns = tuple(sides[:, None].astype(np.float32) for sides in sizes)
        corners = convert_box_format(boxes, bounding_box_format, "rel_xyxy", columns, np.stack)
        is_empty = ~clip_to_image(
            convert_box_format(boxes, bounding_box_format, "rel_center_xywh", columns, np.stack), np
        ).has_area
    is_outside = is_object & _is_outside(corners)
    if is_outside.any():
        image, position = np.argwhere(is_outside)[0]
        raise ValueError(
            f"`boxes`: the box {boxes[image, position].tolist()} lies outside its image of "
            f"(height, width) ({sizes[0][image]}, {sizes[1][image]}) in the format "
            f"`{bounding_box_format}` (box {position} of image {image}"
            f"{id_in_brackets(image, image_ids)}). {_OUTSIDE_ADVICE}"
        )
    return is_object & is_empty


def _check_pixels(boxes, is_object, sizes, bounding_box_format):
    objects = boxes[is_object]
    if look_relative(objects, *(sides[np.nonzero(is_object)[0]] for sides in sizes)):
        raise ValueError(
            f"`boxes`: all boxes of a batch lie in 0..1, such as {objects[0].tolist()}, and the "
            f"format `{bounding_box_format}` is in pixels: they look relative to the image. "
            "Declare their format, for example `rel_xyxy`, as the `bounding_box_format`, or "
            "convert them to pixels."
        )


def look_relative(boxes, heights, widths):
    """Return whether boxes that should be in pixels all look like fractions of their images.

    Args:
        boxes: float (boxes, 4), in any format.
        heights: int (boxes,), of their images, in pixels. The boxes of small images don't count.
        widths: int (boxes,).
    """
    boxes = boxes[np.minimum(heights, widths) >= LEAST_SIDE]
    # Whole numbers say nothing: [0, 0, 1, 1] may stand for a pixel.
    is_fraction = np.abs(boxes - 0.5) <= 0.5 + CLIP_TOLERANCE
    return bool(len(boxes) and is_fraction.all() and (boxes != np.round(boxes)).any())


def _is_outside(corners):
    """Return which boxes, rel_xyxy, miss their image. A wrong format misses it by far."""
    first, second = corners[..., :2], corners[..., 2:]
    lies_before = np.maximum(first, second) < -CLIP_TOLERANCE
    lies_behind = np.minimum(first, second) > 1 + CLIP_TOLERANCE
    return (lies_before | lies_behind).any(-1)
