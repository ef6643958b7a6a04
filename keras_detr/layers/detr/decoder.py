"""DETR's decoder, and its layer."""

from typing import Any

import keras
from keras import ops

from keras_detr.layers.primitives.initializers import HostNormal
from keras_detr.layers.primitives.transformer_base import TransformerBase


@keras.saving.register_keras_serializable("keras_detr")
class DETRDecoderLayer(TransformerBase):
    """Let the object queries attend to each other, then to the image.

    Arguments of the constructor: see `TransformerBase`.

    Call arguments:
        states: (batch, queries, size), what each query has gathered so far.
        memory: (batch, tokens, size), the encoder's output.
        placed_memory: (batch, tokens, size), `memory` plus its positions: the same for all layers,
            so it is added up once outside.
        query_positions: (1, queries, size), added to queries and keys but not to values.
        attention_mask: bool (batch, 1, tokens), true on the image, or `None`.
        return_attention: bool, whether the weights of the attention to the image are wanted.

    Returns:
        pair of states (batch, queries, size), and of a tuple: of those weights, float32 (batch,
        heads, queries, tokens), or empty.

    Example:
        ```python
        from keras_detr.layers import DETRDecoderLayer

        layer = DETRDecoderLayer(num_heads=2, feed_forward_dim=16)
        queries, tokens = np.ones((1, 5, 8), "float32"), np.ones((1, 12, 8), "float32")
        states, attention = layer(queries, tokens, tokens, queries)
        print(states.shape)  # (1, 5, 8)
        ```

    Source: Carion et al. 2020, figure 10; models/transformer.py of the original.
    """

    def build(
        self,
        states_shape,
        memory_shape=None,
        placed_memory_shape=None,
        query_positions_shape=None,
        attention_mask_shape=None,
    ):
        """Create the sub-layers, named as in the original."""
        size = states_shape[-1]
        self.residual_dropout = self.new_residual_dropout()
        self.self_attn = self.new_attention("self_attn", size)
        self.multihead_attn = self.new_attention("multihead_attn", size)
        self.feed_forward = self.new_feed_forward(size)
        self.norm1 = self.new_norm("norm1", size)
        self.norm2 = self.new_norm("norm2", size)
        self.norm3 = self.new_norm("norm3", size)

    def call(
        self,
        states,
        memory,
        placed_memory,
        query_positions,
        attention_mask=None,
        return_attention=False,
        training=None,
    ):
        """Apply self-attention, cross-attention, then the feed-forward network."""
        values = self.norm_before(self.norm1, states)
        placed = values + query_positions
        gathered, _ = self.self_attn(placed, values, placed, training=training)
        states = self.add_and_norm(self.norm1, states, gathered, training)

        placed = self.norm_before(self.norm2, states) + query_positions
        gathered, attention = self.multihead_attn(
            placed,
            memory,
            placed_memory,
            attention_mask,
            return_weights=return_attention,
            training=training,
        )
        states = self.add_and_norm(self.norm2, states, gathered, training)

        changes = self.feed_forward(self.norm_before(self.norm3, states), training=training)
        return self.add_and_norm(self.norm3, states, changes, training), attention


@keras.saving.register_keras_serializable("keras_detr")
class DETRDecoder(TransformerBase):
    """Turn learned object queries into one state for each possible object.

    Args:
        num_queries: int, the most objects that an image can have.
        num_layers: int.
        **kwargs: of `TransformerBase`.

    Call arguments:
        memory, attention_mask, return_attention: see `DETRDecoderLayer`.
        positions: (batch or 1, tokens, size), those of `memory`.
        return_intermediate: bool, whether to return the states after every layer instead of the
            last one only.

    Returns:
        pair of states (batch, layers, queries, size), where `layers` is `num_layers` or 1, and of a
        tuple: of those weights in all layers, float32 (batch, num_layers, heads, queries, tokens),
        or empty. Each state is normalized for the heads; the next layer gets the state before that
        normalization.

    Example:
        ```python
        from keras_detr.layers import DETRDecoder

        decoder = DETRDecoder(num_queries=5, num_layers=2, num_heads=2, feed_forward_dim=16)
        memory = np.ones((1, 12, 8), "float32")
        states, attention = decoder(memory, positions=memory)
        print(states.shape)  # (1, 2, 5, 8)
        ```

    Source: Carion et al. 2020, section 3.2; models/transformer.py of the original.
    """

    def __init__(self, num_queries: int = 100, num_layers: int = 6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_queries = num_queries
        self.num_layers = num_layers

    def build(self, memory_shape, positions_shape=None, attention_mask_shape=None):
        """Create the query embeddings, standard normal as in the original, and the layers."""
        size = memory_shape[-1]
        self.query_embeddings = self.add_weight(
            (self.num_queries, size), HostNormal(stddev=1.0), name="query_embeddings"
        )
        self.decoder_layers = self.new_layers(
            DETRDecoderLayer, self.num_layers, (memory_shape[0], self.num_queries, size)
        )
        self.norm = self.new_norm("norm", size)

    def call(
        self,
        memory,
        positions,
        attention_mask=None,
        return_intermediate=True,
        return_attention=False,
        training=None,
    ):
        """Return the states of all layers, or of the last one."""
        query_positions = ops.expand_dims(ops.cast(self.query_embeddings, self.compute_dtype), 0)
        placed_memory = memory + positions
        shape = (ops.shape(memory)[0], self.num_queries, memory.shape[-1])
        states = ops.zeros(shape, self.compute_dtype)
        all_states, all_attention = [], []
        for layer in self.decoder_layers:
            states, attention = layer(
                states,
                memory,
                placed_memory,
                query_positions,
                attention_mask=attention_mask,
                return_attention=return_attention,
                training=training,
            )
            all_states.append(states)
            all_attention.append(attention)
        if not return_intermediate:
            all_states = all_states[-1:]
        states = self.norm(ops.stack(all_states, axis=1))
        attention = zip(*all_attention, strict=True)
        return states, tuple(ops.stack(of_layers, axis=1) for of_layers in attention)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_queries": self.num_queries,
            "num_layers": self.num_layers,
        }
