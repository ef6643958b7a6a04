"""The masks of objects: one a box, of the size of the padded images, true on the object."""

import numpy as np

from keras_detr.batches.image_ids import id_in_brackets
from keras_detr.batches.shapes import described, shape_of
from keras_detr.ops.numpy_arrays import to_numpy

_ADVICE = (
    "Masks go through the same layers as their images: `keras_detr.preprocessing` changes both "
    "together."
)


def dense_masks(masks, num_rows, image_size, image_ids=None):
    """Check the masks of a batch, and return them as one array.

    Args:
        masks: (batch, N, height, width), or a list with an array (N, height, width) an image, of
            bool or numbers, which are true where they aren't 0.
        num_rows: int, the most rows of an image. Fewer are followed by empty masks.
        image_size: pair of int, the height and width of the padded images.
        image_ids: sequence with the id of each image, for the message; None where they have none.

    Returns:
        NumPy array, bool (batch, num_rows, height, width). It shares memory with `masks` where it
        can.

    Raises:
        ValueError: masks have another shape or type.
    """
    image_size = tuple(image_size)
    shape = shape_of(masks)
    if shape is not None and len(shape) == 4 and shape[1:] == (num_rows, *image_size):
        return bool_masks(to_numpy(masks))
    dense = np.zeros((len(masks), num_rows, *image_size), bool)
    for index, rows in enumerate(masks):
        rows = _as_array(rows)
        if rows is not None and rows.size == 0:
            continue
        if rows is None or rows.ndim != 3 or rows.shape[1:] != image_size:
            received = described(masks[index]) if rows is None else f"{rows.shape}"
            raise ValueError(
                "`masks` must have the size of the images, with their padding: (N, "
                f"{image_size[0]}, {image_size[1]}) for each image. Received: {received} for image "
                f"{index}{id_in_brackets(index, image_ids)} of the batch. {_ADVICE}"
            )
        dense[index, : len(rows)] = bool_masks(rows)
    return dense


def _as_array(rows):
    """Return the masks of an image as NumPy's array, or `None` if they are no array."""
    try:
        return to_numpy(rows)
    except (TypeError, ValueError):
        return None


def bool_masks(masks):
    """Return masks as bool, true where they aren't 0.

    Raises:
        ValueError: they are neither bool nor numbers.
    """
    if masks.dtype == bool:
        return masks
    if not np.issubdtype(masks.dtype, np.number):
        raise ValueError(f"`masks` must be bool or numbers. Received: dtype {masks.dtype}.")
    return masks != 0
