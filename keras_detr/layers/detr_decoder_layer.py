"""One layer of DETR's decoder."""

import keras

from keras_detr.layers.detr_transformer_layer import DETRTransformerLayer


@keras.saving.register_keras_serializable("keras_detr")
class DETRDecoderLayer(DETRTransformerLayer):
    """Let the object queries attend to each other, then to the image.

    Arguments of the constructor: see `DETRTransformerLayer`.

    Call arguments:
        states: (batch, queries, size), what each query has gathered so far.
        memory: (batch, tokens, size), the encoder's output.
        placed_memory: (batch, tokens, size), `memory` plus its positions: the same for all layers,
            so it is added up once outside.
        query_positions: (1, queries, size), added to queries and keys but not to values.
        attention_mask: bool (batch, 1, tokens), true on the image, or `None`.
        return_attention: bool, whether to return also how much each token counted.

    Returns:
        (batch, queries, size); with `return_attention` a pair of it and the weights of the
        attention to the image, float32 (batch, heads, queries, tokens).

    Source: Carion et al. 2020, figure 10; models/transformer.py of the original.
    """

    def build(
        self,
        states_shape,
        memory_shape,
        placed_memory_shape=None,
        query_positions_shape=None,
        attention_mask_shape=None,
    ):
        """Create the sub-layers, named as in the original."""
        super().build()
        self.self_attn = self._build_attention("self_attn", states_shape, states_shape)
        self.multihead_attn = self._build_attention("multihead_attn", states_shape, memory_shape)
        self.feed_forward = self._build_feed_forward(states_shape)
        self.norm1 = self._build_norm("norm1", states_shape)
        self.norm2 = self._build_norm("norm2", states_shape)
        self.norm3 = self._build_norm("norm3", states_shape)

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
        attention = []

        def attend_to_queries(states):
            placed = states + query_positions
            return self.self_attn(placed, states, placed, training=training)

        def attend_to_image(states):
            output = self.multihead_attn(
                states + query_positions,
                memory,
                placed_memory,
                attention_mask=attention_mask,
                return_attention_scores=return_attention,
                training=training,
            )
            if return_attention:
                output, weights = output
                attention.append(weights)
            return output

        def transform(states):
            return self.feed_forward(states, training=training)

        states = self._residual(states, attend_to_queries, self.norm1, training)
        states = self._residual(states, attend_to_image, self.norm2, training)
        states = self._residual(states, transform, self.norm3, training)
        return (states, *attention) if return_attention else states

    def compute_output_shape(self, states_shape, *_, **__):
        """Return the states' shape."""
        return states_shape
