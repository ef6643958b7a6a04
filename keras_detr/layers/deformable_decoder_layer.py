"""One layer of Deformable DETR's decoder."""

import keras

from keras_detr.layers.deformable_transformer_layer import DeformableTransformerLayer


@keras.saving.register_keras_serializable("keras_detr")
class DeformableDecoderLayer(DeformableTransformerLayer):
    """Let the object queries attend to each other, then read points around their references.

    Arguments of the constructor: see `DeformableTransformerLayer`.

    Call arguments:
        states: (batch, queries, size), what each query has gathered so far.
        query_positions: (batch or 1, queries, size), added to queries and keys but not to values.
        reference_points: float32 (batch, queries, levels, 2 or 4).
        memory: (batch, tokens, size), the encoder's output.
        spatial_shapes: sequence of (height, width) of the levels.
        token_mask: bool (batch, tokens), true on the image, or `None`.
        return_attention: bool, whether to return also where was read, and how much it counted.

    Returns:
        (batch, queries, size); with `return_attention` a triple of it, points and weights, as
        `MultiScaleDeformableAttention` returns them.

    Source: Zhu et al. 2021, section 4.1; models/deformable_transformer.py of the original, which
    numbers the norm after self-attention 2 and that after cross-attention 1.
    """

    def build(self, states_shape, *_, **__):
        """Create the sub-layers, named as in the original."""
        super().build()
        self.self_attn = self._build_attention("self_attn", states_shape, states_shape)
        self.cross_attn = self._build_deformable_attention("cross_attn", states_shape)
        self.feed_forward = self._build_feed_forward(states_shape)
        self.norm1 = self._build_norm("norm1", states_shape)
        self.norm2 = self._build_norm("norm2", states_shape)
        self.norm3 = self._build_norm("norm3", states_shape)

    def call(
        self,
        states,
        query_positions,
        reference_points,
        memory,
        spatial_shapes,
        token_mask=None,
        return_attention=False,
        training=None,
    ):
        """Apply self-attention, deformable cross-attention, then the feed-forward network."""
        attention = []

        def attend_to_queries(states):
            placed = states + query_positions
            return self.self_attn(placed, states, placed, training=training)

        def attend_to_image(states):
            output = self.cross_attn(
                states,
                reference_points,
                memory,
                spatial_shapes=spatial_shapes,
                token_mask=token_mask,
                return_attention=return_attention,
                positions=query_positions,
            )
            if return_attention:
                output, *points_and_weights = output
                attention.extend(points_and_weights)
            return output

        def transform(states):
            return self.feed_forward(states, training=training)

        states = self._residual(states, attend_to_queries, self.norm2, training)
        states = self._residual(states, attend_to_image, self.norm1, training)
        states = self._residual(states, transform, self.norm3, training)
        return (states, *attention) if return_attention else states

    def compute_output_shape(self, states_shape, *_, **__):
        """Return the states' shape."""
        return states_shape
