"""Learned codes of where a token lies in its image."""

from typing import Any

import keras
from keras import ops

from keras_detr.layers.primitives.initializers import HostUniform


@keras.saving.register_keras_serializable("keras_detr")
class LearnedPositionEmbedding(keras.layers.Layer):
    """Look up a learned vector for the column and one for the row of each position.

    Padding lies at the bottom and on the right, so it changes no valid position's code.

    Args:
        hidden_dim: int, the size of a code: half of it for the column, then half for the row.
        num_positions: int, the number of rows and of columns that the tables hold.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        features: (batch, height, width, channels). Only its shape matters.
        feature_mask: ignored; here so that position embeddings are interchangeable.

    Returns:
        (1, height, width, hidden_dim) in the compute dtype.

    Raises:
        ValueError: the feature map is larger than the tables.

    Example:
        ```python
        from keras_detr.layers import LearnedPositionEmbedding

        codes = LearnedPositionEmbedding(hidden_dim=8)(np.ones((1, 3, 4, 16), "float32"))
        print(codes.shape)  # (1, 3, 4, 8)
        ```

    Source: models/position_encoding.py of the original, `PositionEmbeddingLearned`.
    """

    def __init__(self, hidden_dim: int = 256, num_positions: int = 50, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if hidden_dim % 2:
            raise ValueError(f"`hidden_dim` must be even. Received: {hidden_dim}.")
        self.hidden_dim = hidden_dim
        self.num_positions = num_positions

    def build(self, features_shape, feature_mask_shape=None):
        """Create the two tables, uniform in [0, 1) as in the original."""
        shape = (self.num_positions, self.hidden_dim // 2)

        def add_table(name):
            # An initializer of its own: Keras' give the same values each time they are called.
            return self.add_weight(shape, HostUniform(0.0, 1.0), name=name)

        self.row_embeddings = add_table("row_embeddings")
        self.column_embeddings = add_table("column_embeddings")

    def call(self, features, feature_mask=None):
        """Return the codes of the feature map's cells."""
        height, width = ops.shape(features)[1:3]
        for axis, size in (("height", height), ("width", width)):
            if isinstance(size, int) and size > self.num_positions:
                raise ValueError(
                    f"The feature map has a {axis} of {size} cells, but "
                    f"`LearnedPositionEmbedding` holds {self.num_positions} positions. Use a "
                    "smaller image, a larger `num_positions`, or `SinePositionEmbedding`."
                )
        columns = ops.expand_dims(self.column_embeddings[:width], 0)
        rows = ops.expand_dims(self.row_embeddings[:height], 1)
        shape = (height, width, self.hidden_dim // 2)
        codes = [ops.broadcast_to(columns, shape), ops.broadcast_to(rows, shape)]
        return ops.expand_dims(ops.concatenate(codes, axis=-1), 0)

    def compute_output_shape(self, features_shape, feature_mask_shape=None):
        """Return (1, height, width, hidden_dim)."""
        return (1, *features_shape[1:3], self.hidden_dim)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "num_positions": self.num_positions,
        }
