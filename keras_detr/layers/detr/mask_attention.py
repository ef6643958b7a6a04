"""Where each query looks in an image: the attention that DETR's mask head starts from."""

import math
from typing import Any

import keras
from keras import ops

from keras_detr.layers.primitives.dropout import Dropout
from keras_detr.layers.primitives.initializers import xavier_uniform
from keras_detr.layers.primitives.token_dense import TokenDense


@keras.saving.register_keras_serializable("keras_detr")
class MaskAttention(keras.layers.Layer):
    """Compute how each query attends to the places of a feature map, with several heads.

    There are no values: the weights are the result. All heads share one softmax, so the weights of
    a query sum to 1 over heads and places.

    Args:
        num_heads: int, must divide the size of queries and tokens.
        dropout: float in [0, 1), on the weights.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        queries: (batch, queries, size).
        memory: (batch, height, width, size), the encoder's tokens as a map.
        mask: bool (batch, height, width), true on the image; or `None`.

    Returns:
        float32 (batch, queries, height, width, num_heads), 0 on padding.

    Example:
        ```python
        from keras_detr.layers import MaskAttention

        attention = MaskAttention(num_heads=2)
        weights = attention(np.ones((1, 5, 8), "float32"), np.ones((1, 3, 4, 8), "float32"))
        print(weights.shape)  # (1, 5, 3, 4, 2)
        ```

    Source: Carion et al. 2020, section 4.4 and figure 8; models/segmentation.py of the original,
    `MHAttentionMap`.
    """

    def __init__(self, num_heads: int = 8, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout = dropout

    def build(self, queries_shape, memory_shape=None, mask_shape=None):
        """Create the projections of queries and of places."""
        size = queries_shape[-1]
        if size % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide the size of the queries, which is {size}. Received: "
                f"{self.num_heads}."
            )
        self.query_dense = self._projection("query", size)
        self.key_dense = self._projection("key", size)
        self.weight_dropout = Dropout(self.dropout, dtype="float32", name="dropout")

    def _projection(self, name, size):
        projection = TokenDense(
            size,
            kernel_initializer=xavier_uniform(size, size),
            dtype=self.dtype_policy,
            name=name,
        )
        projection.build((None, None, size))
        return projection

    def call(self, queries, memory, mask=None, training=None):
        """Return the weights."""
        batch, height, width, size = ops.shape(memory)
        num_places, num_queries = height * width, ops.shape(queries)[1]
        head = size // self.num_heads
        tokens = ops.reshape(memory, (batch, num_places, size))
        queries = self.query_dense(queries) * (1.0 / math.sqrt(head))
        queries = ops.reshape(queries, (batch, num_queries, self.num_heads, head))
        keys = ops.reshape(self.key_dense(tokens), (batch, num_places, self.num_heads, head))
        scores = ops.matmul(ops.transpose(queries, (0, 2, 1, 3)), ops.transpose(keys, (0, 2, 3, 1)))
        # Places before heads, as channels come last in maps.
        scores = ops.cast(ops.transpose(scores, (0, 2, 3, 1)), "float32")
        if mask is not None:
            is_image = ops.reshape(ops.cast(mask, "bool"), (batch, 1, num_places, 1))
            scores = ops.where(is_image, scores, -1e9)
        scores = ops.reshape(scores, (batch, num_queries, num_places * self.num_heads))
        weights = ops.softmax(scores, axis=-1)
        weights = ops.reshape(weights, (batch, num_queries, height, width, self.num_heads))
        return self.weight_dropout(weights, training=training)

    def compute_output_shape(self, queries_shape, memory_shape, mask_shape=None):
        """Return (batch, queries, height, width, num_heads)."""
        return (*queries_shape[:2], *memory_shape[1:3], self.num_heads)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "num_heads": self.num_heads, "dropout": self.dropout}
