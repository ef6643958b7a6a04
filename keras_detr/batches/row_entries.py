"""Entries of bounding boxes with one row a box, which a layer may leave out of step."""

import itertools

from keras_detr.batches.image_ids import id_in_brackets
from keras_detr.batches.shapes import shape_of

ROW_ENTRIES = ("area", "is_crowd", "masks")
ROW_ADVICE = (
    "Most often a layer that drops or pads boxes left the other rows as they were, as KerasCV's "
    "and Keras' layers do, and nobody knows which row belongs to which box. Use the layers of "
    "`keras_detr.preprocessing`, or remove the entry before that layer."
)


def row_entries(bounding_boxes):
    """Return the entries of `ROW_ENTRIES` that there are, as a dict."""
    found = {name: bounding_boxes.get(name) for name in ROW_ENTRIES}
    return {name: rows for name, rows in found.items() if rows is not None}


def check_row_entries(boxes, entries, image_ids=None):
    """Check that entries have as many rows as there are boxes.

    Args:
        boxes: (batch, N, 4), an array of any library, a ragged tensor, or a list of arrays.
        entries: dict from `row_entries`, each with one row a box.
        image_ids: (batch,), by which the message names images, or `None`.

    Raises:
        ValueError: an image has more or fewer rows of an entry than boxes.
    """
    numbers = _row_counts(boxes)
    for name, rows in entries.items():
        pairs = itertools.zip_longest(numbers, _row_counts(rows), fillvalue=0)
        for index, (number, found) in enumerate(pairs):
            if number != found:
                raise ValueError(
                    f"`{name}` must have one row a box. Received: {found} rows and {number} boxes "
                    f"for image {index}{id_in_brackets(index, image_ids)} of the batch. "
                    f"{ROW_ADVICE}"
                )


def _row_counts(rows):
    """Return how many rows each image of a batch has, as a list."""
    if hasattr(rows, "row_lengths"):  # A ragged tensor of TensorFlow.
        return rows.row_lengths().numpy().tolist()
    return [_length(row) for row in rows]


def _length(row):
    shape = shape_of(row)
    if shape is None:
        return len(row) if isinstance(row, (list, tuple)) else 0
    return shape[0] if shape else 0
