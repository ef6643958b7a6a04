"""One layer of DETR's encoder."""

import keras

from keras_detr.layers.detr_transformer_layer import DETRTransformerLayer


@keras.saving.register_keras_serializable("keras_detr")
class DETREncoderLayer(DETRTransformerLayer):
    """Let the tokens of an image attend to each other.

    Arguments of the constructor: see `DETRTransformerLayer`.

    Call arguments:
        tokens: (batch, tokens, size).
        positions: (batch or 1, tokens, size), added to queries and keys but not to values.
        attention_mask: bool (batch, 1, tokens), true on the image, or `None`.

    Returns:
        (batch, tokens, size).

    Source: Carion et al. 2020, figure 10; models/transformer.py of the original.
    """

    def build(self, tokens_shape, positions_shape=None, attention_mask_shape=None):
        """Create the sub-layers, named as in the original."""
        super().build()
        self.self_attn = self._build_attention("self_attn", tokens_shape, tokens_shape)
        self.feed_forward = self._build_feed_forward(tokens_shape)
        self.norm1 = self._build_norm("norm1", tokens_shape)
        self.norm2 = self._build_norm("norm2", tokens_shape)

    def call(self, tokens, positions, attention_mask=None, training=None):
        """Apply self-attention, then the feed-forward network."""

        def attend(tokens):
            placed = tokens + positions
            return self.self_attn(
                placed, tokens, placed, attention_mask=attention_mask, training=training
            )

        def transform(tokens):
            return self.feed_forward(tokens, training=training)

        tokens = self._residual(tokens, attend, self.norm1, training)
        return self._residual(tokens, transform, self.norm2, training)

    def compute_output_shape(self, tokens_shape, positions_shape=None, attention_mask_shape=None):
        """Return the tokens' shape."""
        return tokens_shape
