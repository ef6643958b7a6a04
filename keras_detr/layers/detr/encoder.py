"""DETR's encoder, and its layer."""

from typing import Any

import keras

from keras_detr.layers.primitives.transformer_base import TransformerBase


@keras.saving.register_keras_serializable("keras_detr")
class DETREncoderLayer(TransformerBase):
    """Let the tokens of an image attend to each other.

    Arguments of the constructor: see `TransformerBase`.

    Call arguments:
        tokens: (batch, tokens, size).
        positions: (batch or 1, tokens, size), added to queries and keys but not to values.
        attention_mask: bool (batch, 1, tokens), true on the image, or `None`.

    Returns:
        (batch, tokens, size).

    Example:
        ```python
        from keras_detr.layers import DETREncoderLayer

        tokens = np.ones((1, 12, 8), "float32")
        layer = DETREncoderLayer(num_heads=2, feed_forward_dim=16)
        print(layer(tokens, positions=tokens).shape)  # (1, 12, 8)
        ```

    Source: Carion et al. 2020, figure 10; models/transformer.py of the original.
    """

    def build(self, tokens_shape, positions_shape=None, attention_mask_shape=None):
        """Create the sub-layers, named as in the original."""
        size = tokens_shape[-1]
        self.residual_dropout = self.new_residual_dropout()
        self.self_attn = self.new_attention("self_attn", size)
        self.feed_forward = self.new_feed_forward(size)
        self.norm1 = self.new_norm("norm1", size)
        self.norm2 = self.new_norm("norm2", size)

    def call(self, tokens, positions, attention_mask=None, training=None):
        """Apply self-attention, then the feed-forward network."""
        values = self.norm_before(self.norm1, tokens)
        placed = values + positions
        gathered, _ = self.self_attn(placed, values, placed, attention_mask, training=training)
        tokens = self.add_and_norm(self.norm1, tokens, gathered, training)

        changes = self.feed_forward(self.norm_before(self.norm2, tokens), training=training)
        return self.add_and_norm(self.norm2, tokens, changes, training)

    def compute_output_shape(self, tokens_shape, positions_shape=None, attention_mask_shape=None):
        """Return the tokens' shape."""
        return tokens_shape


@keras.saving.register_keras_serializable("keras_detr")
class DETREncoder(TransformerBase):
    """Apply a stack of encoder layers to the tokens of an image.

    With `normalize_before` a final layer normalization follows, as in the original.

    Args:
        num_layers: int.
        **kwargs: of `TransformerBase`.

    Call arguments: see `DETREncoderLayer`.

    Returns:
        (batch, tokens, size), called the memory.

    Example:
        ```python
        from keras_detr.layers import DETREncoder

        tokens = np.ones((1, 12, 8), "float32")
        encoder = DETREncoder(num_layers=2, num_heads=2, feed_forward_dim=16)
        print(encoder(tokens, positions=tokens).shape)  # (1, 12, 8)
        ```

    Source: Carion et al. 2020, section 3.2; models/transformer.py of the original.
    """

    def __init__(self, num_layers: int = 6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_layers = num_layers

    def build(self, tokens_shape, positions_shape=None, attention_mask_shape=None):
        """Create the layers."""
        self.encoder_layers = self.new_layers(DETREncoderLayer, self.num_layers, tokens_shape)
        self.norm = self.new_norm("norm", tokens_shape[-1]) if self.normalize_before else None

    def call(self, tokens, positions, attention_mask=None, training=None):
        """Return the memory."""
        for layer in self.encoder_layers:
            tokens = layer(tokens, positions, attention_mask=attention_mask, training=training)
        return tokens if self.norm is None else self.norm(tokens)

    def compute_output_shape(self, tokens_shape, positions_shape=None, attention_mask_shape=None):
        """Return the tokens' shape."""
        return tokens_shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "num_layers": self.num_layers}
