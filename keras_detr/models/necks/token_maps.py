"""Feature maps and masks as rows of tokens."""

import numpy as np
from keras import ops


def flatten_map(feature_map):
    """Return (batch, height * width, channels)."""
    _, height, width, channels = feature_map.shape
    if None in (height, width):
        return ops.reshape(feature_map, (ops.shape(feature_map)[0], -1, channels))
    return ops.reshape(feature_map, (-1, height * width, channels))


def mask_of_map(mask, features):
    """Sample an image's mask at the cells of its feature map.

    The cell i of n takes the pixel floor(i * size / n), computed in float32 as torch does.
    """
    for axis in (1, 2):
        size, num_cells = ops.shape(mask)[axis], ops.shape(features)[axis]
        if isinstance(size, int) and isinstance(num_cells, int):
            step = np.float32(size) / np.float32(num_cells)
            cells = np.floor(np.arange(num_cells, dtype="float32") * step).astype("int32")
            cells = np.minimum(cells, size - 1)
        else:
            step = ops.cast(size, "float32") / ops.cast(num_cells, "float32")
            cells = ops.cast(ops.floor(ops.arange(num_cells, dtype="float32") * step), "int32")
            cells = ops.minimum(cells, size - 1)
        mask = ops.take(mask, cells, axis=axis)
    return mask
