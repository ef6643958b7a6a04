"""Deformable DETR's encoder, and its layer."""

from typing import Any

import keras

from keras_detr.layers.deformable_detr.multi_scale_deformable_attention import (
    MultiScaleDeformableAttention,
)
from keras_detr.layers.deformable_detr.references import on_padded_maps, token_centers
from keras_detr.layers.primitives.transformer_base import TransformerBase


@keras.saving.register_keras_serializable("keras_detr")
class DeformableEncoderLayer(TransformerBase):
    """Let each token read points around itself, on all levels.

    Args:
        num_levels: int, feature maps.
        num_points: int, points that a head reads on each map.
        **kwargs: of `TransformerBase`.

    Call arguments:
        tokens: (batch, tokens, size).
        positions: (batch or 1, tokens, size), added to queries but not to values.
        reference_points: float32 (batch or 1, tokens, levels, 2), each token's own place.
        spatial_shapes: sequence of (height, width) of the levels.
        token_mask: bool (batch, tokens), true on the image, or `None`.

    Returns:
        (batch, tokens, size).

    Example:
        ```python
        from keras_detr.layers import DeformableEncoderLayer

        layer = DeformableEncoderLayer(num_levels=1, num_points=2, num_heads=2, feed_forward_dim=16)
        tokens, points = np.ones((1, 12, 8), "float32"), np.full((1, 12, 1, 2), 0.5, "float32")
        print(layer(tokens, tokens, points, spatial_shapes=[(3, 4)]).shape)  # (1, 12, 8)
        ```

    Source: Zhu et al. 2021, section 4.1; models/deformable_transformer.py of the original.
    """

    def __init__(self, num_levels: int = 4, num_points: int = 4, **kwargs: Any) -> None:
        # Reference points stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.num_levels = num_levels
        self.num_points = num_points

    def build(self, tokens_shape, *_, **__):
        """Create the sub-layers, named as in the original."""
        size = tokens_shape[-1]
        self.residual_dropout = self.new_residual_dropout()
        self.self_attn = MultiScaleDeformableAttention(
            self.num_heads,
            self.num_levels,
            self.num_points,
            dtype=self.dtype_policy,
            name="self_attn",
        )
        self.self_attn.build(tokens_shape)
        self.feed_forward = self.new_feed_forward(size)
        self.norm1 = self.new_norm("norm1", size)
        self.norm2 = self.new_norm("norm2", size)

    def call(
        self, tokens, positions, reference_points, spatial_shapes, token_mask=None, training=None
    ):
        """Apply deformable self-attention, then the feed-forward network."""
        values = self.norm_before(self.norm1, tokens)
        gathered, _ = self.self_attn(
            values + positions,
            reference_points,
            values,
            spatial_shapes=spatial_shapes,
            token_mask=token_mask,
        )
        tokens = self.add_and_norm(self.norm1, tokens, gathered, training)

        changes = self.feed_forward(self.norm_before(self.norm2, tokens), training=training)
        return self.add_and_norm(self.norm2, tokens, changes, training)

    def compute_output_shape(self, tokens_shape, *_, **__):
        """Return the tokens' shape."""
        return tokens_shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_levels": self.num_levels,
            "num_points": self.num_points,
        }


@keras.saving.register_keras_serializable("keras_detr")
class DeformableEncoder(TransformerBase):
    """Apply a stack of deformable encoder layers to the tokens of all levels.

    Args:
        num_layers: int.
        num_levels: int, feature maps.
        num_points: int, points that a head reads on each map.
        **kwargs: of `TransformerBase`.

    Call arguments: see `DeformableEncoderLayer`.

    Returns:
        (batch, tokens, size), called the memory.

    Example:
        ```python
        from keras_detr.layers import DeformableEncoder

        encoder = DeformableEncoder(1, num_levels=1, num_points=2, num_heads=2, feed_forward_dim=16)
        tokens, points = np.ones((1, 12, 8), "float32"), np.full((1, 12, 1, 2), 0.5, "float32")
        print(encoder(tokens, tokens, points, spatial_shapes=[(3, 4)]).shape)  # (1, 12, 8)
        ```

    Source: Zhu et al. 2021, section 4.1; models/deformable_transformer.py of the original.
    """

    def __init__(
        self, num_layers: int = 6, num_levels: int = 4, num_points: int = 4, **kwargs: Any
    ) -> None:
        # Reference points stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.num_layers = num_layers
        self.num_levels = num_levels
        self.num_points = num_points

    def build(self, tokens_shape, *_, **__):
        """Create the layers."""
        self.encoder_layers = self.new_layers(
            DeformableEncoderLayer,
            self.num_layers,
            tokens_shape,
            num_levels=self.num_levels,
            num_points=self.num_points,
        )

    def call(
        self, tokens, positions, reference_points, spatial_shapes, token_mask=None, training=None
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

    def encode(self, flat, training=None):
        """Return the memory for what `MultiScaleNeck` returns, and the centers of its tokens.

        The memory is (batch, tokens, size), the centers are float32 (batch or 1, tokens, 2), x and
        y in the unpadded image.
        """
        centers = token_centers(flat["spatial_shapes"], flat["valid_ratios"])
        memory = self(
            flat["tokens"],
            flat["positions"],
            on_padded_maps(centers, flat["valid_ratios"]),
            spatial_shapes=flat["spatial_shapes"],
            token_mask=flat["mask"],
            training=training,
        )
        return memory, centers

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
