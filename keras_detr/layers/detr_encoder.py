"""DETR's encoder."""

import keras

from keras_detr.layers.detr_encoder_layer import DETREncoderLayer
from keras_detr.layers.transformer_settings import TransformerSettings


@keras.saving.register_keras_serializable("keras_detr")
class DETREncoder(TransformerSettings):
    """Apply a stack of encoder layers to the tokens of an image.

    With `normalize_before` a final layer normalization follows, as in the original.

    Args:
        num_layers: int.
        **kwargs: of `TransformerSettings`.

    Call arguments:
        tokens: (batch, tokens, size).
        positions: (batch or 1, tokens, size).
        attention_mask: bool (batch, 1, tokens), true on the image, or `None`.

    Returns:
        (batch, tokens, size), called the memory.

    Source: Carion et al. 2020, section 3.2; models/transformer.py of the original.
    """

    def __init__(
        self,
        num_layers=6,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_layers = num_layers

    def build(self, tokens_shape, positions_shape=None, attention_mask_shape=None):
        """Create the layers."""
        self.encoder_layers = [
            DETREncoderLayer(
                **self.transformer_settings(), dtype=self.dtype_policy, name=f"layer_{index}"
            )
            for index in range(self.num_layers)
        ]
        for layer in self.encoder_layers:
            layer.build(tokens_shape)
        self.norm = None
        if self.normalize_before:
            self.norm = self._build_norm("norm", tokens_shape)

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
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
        }
