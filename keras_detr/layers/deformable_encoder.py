"""Deformable DETR's encoder."""

import keras

from keras_detr.layers.deformable_encoder_layer import DeformableEncoderLayer
from keras_detr.layers.transformer_settings import TransformerSettings


@keras.saving.register_keras_serializable("keras_detr")
class DeformableEncoder(TransformerSettings):
    """Apply a stack of deformable encoder layers to the tokens of all levels.

    Args:
        num_layers: int.
        num_levels: int, feature maps.
        num_points: int, points that a head reads on each map.
        **kwargs: of `TransformerSettings`.

    Call arguments: see `DeformableEncoderLayer`.

    Returns:
        (batch, tokens, size), called the memory.

    Source: Zhu et al. 2021, section 4.1; models/deformable_transformer.py of the original.
    """

    def __init__(self, num_layers=6, num_levels=4, num_points=4, **kwargs):
        # Reference points stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.num_layers = num_layers
        self.num_levels = num_levels
        self.num_points = num_points

    def build(self, tokens_shape, *_, **__):
        """Create the layers."""
        self.encoder_layers = [
            DeformableEncoderLayer(
                self.num_levels,
                self.num_points,
                **self.transformer_settings(),
                dtype=self.dtype_policy,
                name=f"layer_{index}",
            )
            for index in range(self.num_layers)
        ]
        for layer in self.encoder_layers:
            layer.build(tokens_shape)

    def call(
        self,
        tokens,
        positions,
        reference_points,
        spatial_shapes,
        token_mask=None,
        training=None,
    ):
        """Return the memory."""
        for layer in self.encoder_layers:
            tokens = layer(
                tokens,
                positions,
                reference_points,
                spatial_shapes=spatial_shapes,
                token_mask=token_mask,
                training=training,
            )
        return tokens

    def compute_output_shape(self, tokens_shape, *_, **__):
        """Return the tokens' shape."""
        return tokens_shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "num_levels": self.num_levels,
            "num_points": self.num_points,
        }
