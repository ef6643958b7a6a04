"""Pad images, masks and boxes at their ends."""

import tensorflow as tf

from keras_detr.batches.row_entries import ROW_ADVICE, row_entries
from keras_detr.preprocessing.assertions import checked


def padded(array, lengths, value=0):
    """Pad the first axes of an array at their ends.

    Args:
        array: tensor.
        lengths: sequence of int or int32 scalars, of these axes afterwards. They aren't smaller
            than before: that is checked by the caller, with `checked`.
        value: number that padding holds.
    """
    number = len(lengths)
    # Where tf.data knows a size that is too large already while it traces, the graph must still
    # be built for the check in it to speak.
    after = tf.maximum(tf.stack(lengths) - tf.shape(array)[:number], 0)
    after = tf.concat([after, tf.zeros(array.shape.rank - number, tf.int32)], axis=0)
    before_and_after = tf.stack([tf.zeros_like(after), after], axis=1)
    padded = tf.pad(array, before_and_after, constant_values=tf.cast(value, array.dtype))
    shape = [length if isinstance(length, int) else None for length in lengths]
    if not padded.shape[:number].is_compatible_with(shape):
        padded = padded[tuple(slice(length) for length in lengths)]
    return tf.ensure_shape(padded, (*shape, *array.shape[number:]))


def padded_boxes(bounding_boxes, number):
    """Pad entries with one row a box to a number of rows: boxes and classes with -1, others with 0.

    Args:
        bounding_boxes: dict of tensors, the first axis of each is N.
        number: int or int32 scalar, at least N.
    """
    return {
        key: padded(rows, (number,), -1 if key in ("boxes", "classes") else 0)
        for key, rows in bounding_boxes.items()
    }


def checked_rows(bounding_boxes, caller):
    """Return bounding boxes if all have one row a box; the error names the caller.

    Args:
        bounding_boxes: dict of tensors of one image, or of tensors and ragged tensors of a batch.
    """
    boxes, classes = bounding_boxes["boxes"], bounding_boxes["classes"]
    axis = (boxes.shape.rank or 2) - 2
    number = _num_rows(boxes, axis)
    for name, rows in {"classes": classes, **row_entries(bounding_boxes)}.items():
        found = _num_rows(rows, axis)
        advice = "" if name == "classes" else f". {ROW_ADVICE}"
        message = [f"{caller}: `{name}` must have one row a box. Received:", found]
        message += ["rows and", number, f"boxes of each image{advice}"]
        boxes = checked(boxes, tf.reduce_all(found == number), message)
    return {**bounding_boxes, "boxes": boxes}


def _num_rows(rows, axis):
    """Return the number of rows of an image, or of each image of a batch."""
    if isinstance(rows, tf.RaggedTensor):
        return rows.row_lengths() if axis else rows.nrows()
    return tf.shape(rows, tf.int64)[axis]


def checked_number(bounding_boxes, max_boxes, caller):
    """Return bounding boxes if there aren't more than `max_boxes`; the error names the caller."""
    number = tf.shape(bounding_boxes["classes"])[0]
    message = [
        f"{caller}: an image has",
        number,
        f"boxes, more than `max_boxes` {max_boxes}. Pass a larger `max_boxes`.",
    ]
    return checked(bounding_boxes, number <= max_boxes, message)
