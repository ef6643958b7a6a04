"""Arrays of every library as NumPy's."""

import keras
import numpy as np


def to_numpy(value):
    """Return an array of any library as NumPy's."""
    if hasattr(value, "detach"):  # A tensor of torch, which may track gradients.
        value = value.detach().cpu()
        if not keras.ops.is_tensor(value):
            # Another backend's conversion asks for a copy in a way that torch doesn't know.
            return np.asarray(value)
    if isinstance(value, (np.ndarray, list, tuple, float, int)):
        return np.asarray(value)
    return keras.ops.convert_to_numpy(value)
