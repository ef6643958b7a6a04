"""Multi-head attention with float32 softmax and DETR's starting values."""

import math

import keras
from keras import ops

from keras_detr.layers.primitives.dropout import Dropout
from keras_detr.layers.primitives.initializers import xavier_uniform
from keras_detr.ops.attention import attend
from keras_detr.ops.backends import current


@keras.saving.register_keras_serializable("keras_detr")
class MultiHeadAttention(keras.layers.Layer):
    """Attend with several heads; the softmax is computed in float32 under any dtype policy.

    Its variables have the names and shapes of those of `keras.layers.MultiHeadAttention`, which
    computes the softmax of a half-precision policy in half precision.

    Args:
        num_heads: int.
        key_dim: int, the size of a head. `num_heads * key_dim` is the size of tokens.
        dropout: float in [0, 1), on the attention weights.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        query: (batch, targets, num_heads * key_dim).
        value: (batch, sources, num_heads * key_dim).
        key: like `value`, which it is by default.
        attention_mask: bool, broadcastable to (batch, targets, sources), true where attention is
            allowed; or `None`.
        return_weights: bool, whether the weights are wanted.

    Returns:
        pair of (batch, targets, num_heads * key_dim), and of a tuple: of the weights, float32
        (batch, num_heads, targets, sources), or empty. (Keras' functional models take no `None`.)

    Source: Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(self, num_heads, key_dim, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.dropout = dropout

    def build(self, query_shape, *_, **__):
        """Create the four projections."""
        size = self.num_heads * self.key_dim
        heads = (None, self.num_heads, self.key_dim)
        # The original initializes its fused projection of shape (3 * size, size).
        fused = (size, 3 * size)
        self.query_dense = self._projection("query", "abc,cde->abde", heads, "de", fused)
        self.key_dense = self._projection("key", "abc,cde->abde", heads, "de", fused)
        self.value_dense = self._projection("value", "abc,cde->abde", heads, "de", fused)
        self.output_dense = self._projection(
            "attention_output", "abcd,cde->abe", (None, size), "e", (size, size)
        )
        for projection in (self.query_dense, self.key_dense, self.value_dense):
            projection.build((None, None, size))
        self.output_dense.build((None, *heads))
        self.weight_dropout = Dropout(self.dropout, dtype=self.dtype_policy, name="dropout")

    def _projection(self, name, equation, output_shape, bias_axes, fans):
        return keras.layers.EinsumDense(
            equation,
            output_shape,
            bias_axes=bias_axes,
            kernel_initializer=xavier_uniform(*fans),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(
        self,
        query,
        value,
        key=None,
        attention_mask=None,
        return_weights=False,
        training=None,
    ):
        """Return what the queries gather, and the weights if they are wanted."""
        key = value if key is None else key
        # Heads before tokens, so that both products are plain batched matrix products.
        query = ops.transpose(self.query_dense(query), (0, 2, 1, 3))
        query = query * (1.0 / math.sqrt(self.key_dim))
        key = ops.transpose(self.key_dense(key), (0, 2, 3, 1))
        value = ops.transpose(self.value_dense(value), (0, 2, 1, 3))
        bias = None
        if attention_mask is not None:
            # A finite bias: a row without any allowed source gives an average, never NaN.
            blocked = ops.cast(ops.logical_not(ops.cast(attention_mask, "bool")), "float32")
            bias = ops.expand_dims(blocked * -1e9, 1)
        if return_weights or (training and self.dropout):
            gathered, weights = attend(
                query, key, value, bias, lambda x: self.weight_dropout(x, training=training)
            )
        else:
            gathered, weights = current().attention(query, key, value, bias), None
        gathered = self.output_dense(ops.transpose(gathered, (0, 2, 1, 3)))
        return gathered, (weights,) if return_weights else ()

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "dropout": self.dropout,
        }
