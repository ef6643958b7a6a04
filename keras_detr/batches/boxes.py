"""Where boxes lie in their image: outside is almost always a wrong box format."""

from keras_detr.ops.boxes import BOX_FORMATS, convert_box_format

# A box may touch the border from outside by rounding; a wrong format misses by far more.
_TOLERANCE = 1e-4

OUTSIDE_ADVICE = (
    "Most often the boxes are in another format than the `bounding_box_format` declared; "
    "otherwise remove or correct these boxes."
)


def is_outside(boxes, image_height, image_width, bounding_box_format, library):
    """Tell which boxes lie wholly outside their image.

    Args:
        boxes: float (batch, N, 4).
        image_height: float (batch, 1), pixels, without padding.
        image_width: float (batch, 1), pixels, without padding.
        bounding_box_format: str, one of `keras_detr.ops.boxes.BOX_FORMATS`.
        library: `tensorflow` or `numpy`, the boxes' own.

    Returns:
        bool (batch, N). Boxes partly inside, at the border, or without area are not outside.
    """
    corners, (right_limit, bottom_limit) = _corners_and_limits(
        boxes, image_height, image_width, bounding_box_format, library
    )
    return _misses(corners[..., 0], corners[..., 2], right_limit, library) | _misses(
        corners[..., 1], corners[..., 3], bottom_limit, library
    )


def has_area(boxes, image_height, image_width, bounding_box_format, library):
    """Tell which boxes have an area inside of their image; arguments are those of `is_outside`."""
    corners, (right_limit, bottom_limit) = _corners_and_limits(
        boxes, image_height, image_width, bounding_box_format, library
    )
    width = library.minimum(corners[..., 2], right_limit) - library.maximum(corners[..., 0], 0.0)
    height = library.minimum(corners[..., 3], bottom_limit) - library.maximum(corners[..., 1], 0.0)
    return (width > 0) & (height > 0)


def _corners_and_limits(boxes, image_height, image_width, bounding_box_format, library):
    """Return boxes as corners, and what the right and the bottom edge of their image are."""
    is_relative = BOX_FORMATS[bounding_box_format].is_relative
    corners = convert_box_format(
        boxes, bounding_box_format, "rel_xyxy" if is_relative else "xyxy", stack=library.stack
    )
    return corners, ((1.0, 1.0) if is_relative else (image_width, image_height))


def _misses(first, second, limit, library):
    lies_before = library.maximum(first, second) < -_TOLERANCE * limit
    return lies_before | (library.minimum(first, second) > (1.0 + _TOLERANCE) * limit)
