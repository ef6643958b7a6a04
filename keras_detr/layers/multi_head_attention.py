"""Keras' multi-head attention with float32 softmax and DETR's starting values."""

import math

import keras
from keras import ops

from keras_detr.layers.initializers import xavier_uniform
from keras_detr.ops.attention import attend, attended
from keras_detr.ops.dropout import dropout


@keras.saving.register_keras_serializable("keras_detr")
class MultiHeadAttention(keras.layers.MultiHeadAttention):
    """Attend with several heads; the softmax is computed in float32 under any dtype policy.

    Args:
        num_heads: int.
        key_dim: int, the size of a head. `num_heads * key_dim` is the size of tokens.
        dropout: float in [0, 1), on the attention weights.
        **kwargs: of `keras.layers.MultiHeadAttention`. `kernel_initializer` is that of query, key
            and value; the output's kernel starts with Xavier's uniform values.

    Call arguments:
        query: (batch, targets, num_heads * key_dim).
        value: (batch, sources, num_heads * key_dim).
        key: like `value`.
        attention_mask: bool, broadcastable to (batch, targets, sources), true where attention is
            allowed.

    Returns:
        (batch, targets, num_heads * key_dim); with `return_attention_scores=True` also the weights,
        float32 (batch, num_heads, targets, sources).

    Source: Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(self, num_heads, key_dim, dropout=0.0, **kwargs):
        size = num_heads * key_dim
        # The original initializes its fused projection of shape (3 * size, size).
        kwargs.setdefault("kernel_initializer", xavier_uniform(size, 3 * size))
        super().__init__(num_heads=num_heads, key_dim=key_dim, dropout=dropout, **kwargs)

    def _make_output_dense(self, query_shape, common_kwargs, name=None):
        size = self.num_heads * self.key_dim
        common_kwargs = {**common_kwargs, "kernel_initializer": xavier_uniform(size, size)}
        return super()._make_output_dense(query_shape, common_kwargs, name)

    def _compute_attention(
        self,
        query,
        key,
        value,
        attention_mask=None,
        training=None,
        return_attention_scores=False,
    ):
        # Heads before tokens, so that both products are plain batched matrix products.
        query = ops.transpose(query * (1.0 / math.sqrt(self.key_dim)), (0, 2, 1, 3))
        key = ops.transpose(key, (0, 2, 3, 1))
        value = ops.transpose(value, (0, 2, 1, 3))
        bias = None
        if attention_mask is not None:
            # A finite bias: a row without any allowed source gives an average, never NaN.
            blocked = ops.cast(ops.logical_not(ops.cast(attention_mask, "bool")), "float32")
            bias = ops.expand_dims(blocked * -1e9, 1)
        is_dropped = self.dropout and training
        if is_dropped or return_attention_scores:
            output, weights = attend(query, key, value, bias, self._drop if is_dropped else None)
        else:
            output, weights = attended(query, key, value, bias), None
        output = ops.transpose(output, (0, 2, 1, 3))
        return output, weights if return_attention_scores else None

    def _drop(self, weights):
        return dropout(weights, self.dropout, self._dropout_layer.seed_generator)
