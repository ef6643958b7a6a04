"""Fixed sine and cosine codes of where a token lies in its image."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("keras_detr")
class SinePositionEmbedding(keras.layers.Layer):
    """Encode each position by sines and cosines of its row and column in the unpadded image.

    Rows and columns are counted over valid positions only and divided by their number, so padding
    changes no code of a valid position.

    Args:
        hidden_dim: int, the size of a code: half of it for the row, then half for the column.
        temperature: float, the longest wavelength is 2 pi times this.
        offset: float, added to the count before it is divided; Deformable DETR uses -0.5, the
            center of a cell.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        features: (batch, height, width, channels). Only its shape matters.
        feature_mask: bool (batch, height, width), true on the image and false on padding, or
            `None` if nothing is padded.

    Returns:
        (batch, height, width, hidden_dim) in the compute dtype. Without a mask the batch axis has
        size 1, and where the shape is static too the codes are a constant of the program.

    Example:
        ```python
        from keras_detr.layers import SinePositionEmbedding

        mask = np.ones((1, 3, 4), bool)
        mask[:, :, 3:] = False  # The last column is padding.
        codes = SinePositionEmbedding(hidden_dim=8)(np.ones((1, 3, 4, 16), "float32"), mask)
        print(codes.shape)  # (1, 3, 4, 8)
        ```

    Source: Carion et al. 2020, section A.4; models/position_encoding.py of the original.
    """

    def __init__(
        self,
        hidden_dim: int = 256,
        temperature: float = 10000.0,
        offset: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if hidden_dim % 4:
            raise ValueError(
                "`hidden_dim` must be a multiple of 4 (a sine and a cosine for each of two axes). "
                f"Received: {hidden_dim}."
            )
        self.hidden_dim = hidden_dim
        self.temperature = temperature
        self.offset = offset

    def call(self, features, feature_mask=None):
        """Return the codes; counted in float32."""
        height, width = ops.shape(features)[1:3]
        if feature_mask is not None:
            valid = ops.cast(feature_mask, "float32")
            rows, columns = ops.cumsum(valid, axis=1), ops.cumsum(valid, axis=2)
        else:
            is_static = isinstance(height, int) and isinstance(width, int)
            count = np.arange if is_static else ops.arange
            ones = (np if is_static else ops).ones((1, height, width), "float32")
            rows = ones * (count(height, dtype="float32") + 1.0)[None, :, None]
            columns = ones * (count(width, dtype="float32") + 1.0)[None, None, :]
            if is_static:
                codes = self._encode(rows, columns, np)
                return ops.convert_to_tensor(codes, self.compute_dtype)
        return ops.cast(self._encode(rows, columns, ops), self.compute_dtype)

    def _encode(self, rows, columns, numeric):
        """Encode counts with `numeric`, either NumPy or `keras.ops`."""
        rows = (rows + self.offset) / (rows[:, -1:, :] + 1e-6) * (2 * math.pi)
        columns = (columns + self.offset) / (columns[:, :, -1:] + 1e-6) * (2 * math.pi)
        num_frequencies = self.hidden_dim // 4
        exponent = np.arange(num_frequencies, dtype="float32") * (1.0 / num_frequencies)
        wavelengths = (self.temperature**exponent).astype("float32")
        codes = []
        for count in (rows, columns):
            angles = numeric.expand_dims(count, -1) / numeric.array(wavelengths)
            waves = numeric.stack([numeric.sin(angles), numeric.cos(angles)], axis=-1)
            height, width = numeric.shape(count)[1:3]
            codes.append(numeric.reshape(waves, (-1, height, width, self.hidden_dim // 2)))
        return numeric.concatenate(codes, axis=-1)

    def compute_output_shape(self, features_shape, feature_mask_shape=None):
        """Return (batch or 1, height, width, hidden_dim)."""
        batch = 1 if feature_mask_shape is None else features_shape[0]
        return (batch, *features_shape[1:3], self.hidden_dim)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "temperature": self.temperature,
            "offset": self.offset,
        }
