"""Arrays of every library as NumPy's, and boxes of every length as one dense array."""

import itertools

import numpy as np

from keras_detr.batches.shapes import check_box_shapes, check_numbers, described, shape_of
from keras_detr.ops.numpy_arrays import to_numpy


def numpy_parts(parts):
    """Return the parts of a batch as NumPy's arrays.

    Args:
        parts: `BatchParts` of arrays of any library. Boxes and classes may be ragged tensors of
            TensorFlow, or lists of an array (N, 4) or (N,) an image.

    Returns:
        `BatchParts`. Boxes are float32; where an image has fewer than another, -1 follows, and
        class -1. Ids are left as they are.

    Raises:
        ValueError: boxes or classes are something else, or an image has more of the ones than of
            the others.
    """
    boxes, classes = _dense(parts.boxes, parts.classes)
    check_box_shapes(boxes, classes, shape_of(parts.images)[:1])
    return parts._replace(
        images=to_numpy(parts.images),
        pixel_mask=None if parts.pixel_mask is None else to_numpy(parts.pixel_mask),
        boxes=boxes,
        classes=classes,
    )


def ragged_rows(flat_values, *nested_row_splits):
    """Return the rows of a ragged tensor, a list of arrays, or of such lists.

    Args:
        flat_values: array, the values of all rows; returned for a dense tensor.
        *nested_row_splits: arrays of int, the row splits of every ragged axis, the first axis
            first; none for a dense tensor.
    """
    rows = flat_values
    for splits in reversed(nested_row_splits):
        rows = [rows[start:end] for start, end in itertools.pairwise(splits)]
    return rows


def _dense(boxes, classes):
    boxes, classes = _rows(boxes, "boxes", (4,)), _rows(classes, "classes", ())
    if isinstance(boxes, list) and isinstance(classes, list):
        for index, (box_row, class_row) in enumerate(zip(boxes, classes, strict=False)):
            if len(box_row) != len(class_row):
                raise ValueError(
                    "`boxes` and `classes` must agree in length. Received: "
                    f"{len(box_row)} boxes and {len(class_row)} classes for image {index}."
                )
    return _stacked(boxes, (4,)).astype(np.float32), _stacked(classes, ())


def _rows(value, name, row_shape):
    """Return an array, or a list with an array (N, *row_shape) an image."""
    try:
        if hasattr(value, "row_splits"):  # A ragged tensor of TensorFlow.
            value = ragged_rows(*map(to_numpy, (value.flat_values, *value.nested_row_splits)))
        if not isinstance(value, (list, tuple)):
            value = to_numpy(value)
        is_list = not isinstance(value, np.ndarray) or (value.dtype == object and value.ndim == 1)
        value = [to_numpy(row) for row in value] if is_list else value
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be an array of numbers, or a list with one such array an image. "
            f"Received: {described(value)}."
        ) from error
    if isinstance(value, np.ndarray):
        check_numbers(value, name)
        return value
    rows = [np.reshape(row, (0, *row_shape)) if row.size == 0 else row for row in value]
    wanted = "(N, 4)" if row_shape else "(N,)"
    for index, row in enumerate(rows):
        check_numbers(row, name)
        if row.ndim != 1 + len(row_shape) or row.shape[1:] != row_shape:
            raise ValueError(
                f"`{name}` of an image must have the shape {wanted}. Received: {row.shape} for "
                f"image {index}."
            )
    return rows


def _stacked(rows, row_shape):
    """Return an array as it is, and a list of arrays padded with -1."""
    if not isinstance(rows, list):
        return rows
    longest = max((len(row) for row in rows), default=0)
    dtype = np.result_type(np.int32, *(row.dtype for row in rows if row.size))
    dense = np.full((len(rows), longest, *row_shape), -1, dtype)
    for index, row in enumerate(rows):
        dense[index, : len(row)] = row
    return dense
