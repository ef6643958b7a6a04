"""One layer of Deformable DETR's encoder."""

import keras

from keras_detr.layers.deformable_transformer_layer import DeformableTransformerLayer


@keras.saving.register_keras_serializable("keras_detr")
class DeformableEncoderLayer(DeformableTransformerLayer):
    """Let each token read points around itself, on all levels.

    Arguments of the constructor: see `DeformableTransformerLayer`.

    Call arguments:
        tokens: (batch, tokens, size).
        positions: (batch or 1, tokens, size), added to queries but not to values.
        reference_points: float32 (batch or 1, tokens, levels, 2), each token's own place.
        spatial_shapes: sequence of (height, width) of the levels.
        token_mask: bool (batch, tokens), true on the image, or `None`.

    Returns:
        (batch, tokens, size).

    Source: Zhu et al. 2021, section 4.1; models/deformable_transformer.py of the original.
    """

    def build(self, tokens_shape, *_, **__):
        """Create the sub-layers, named as in the original."""
        super().build()
        self.self_attn = self._build_deformable_attention("self_attn", tokens_shape)
        self.feed_forward = self._build_feed_forward(tokens_shape)
        self.norm1 = self._build_norm("norm1", tokens_shape)
        self.norm2 = self._build_norm("norm2", tokens_shape)

    def call(
        self,
        tokens,
        positions,
        reference_points,
        spatial_shapes,
        token_mask=None,
        training=None,
    ):
        """Apply deformable self-attention, then the feed-forward network."""

        def attend(tokens):
            return self.self_attn(
                tokens,
                reference_points,
                tokens,
                spatial_shapes=spatial_shapes,
                token_mask=token_mask,
                positions=positions,
            )

        def transform(tokens):
            return self.feed_forward(tokens, training=training)

        tokens = self._residual(tokens, attend, self.norm1, training)
        return self._residual(tokens, transform, self.norm2, training)

    def compute_output_shape(self, tokens_shape, *_, **__):
        """Return the tokens' shape."""
        return tokens_shape
