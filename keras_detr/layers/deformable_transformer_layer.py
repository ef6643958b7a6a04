"""What Deformable DETR's encoder and decoder layers have in common."""

from keras_detr.layers.detr_transformer_layer import DETRTransformerLayer
from keras_detr.layers.multi_scale_deformable_attention import MultiScaleDeformableAttention


class DeformableTransformerLayer(DETRTransformerLayer):
    """Build a transformer layer whose attention to the image is deformable.

    Abstract: see `DETRTransformerLayer`.

    Args:
        num_levels: int, feature maps.
        num_points: int, points that a head reads on each map.
        **kwargs: of `TransformerSettings`.
    """

    def __init__(self, num_levels=4, num_points=4, **kwargs):
        # Reference points stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.num_levels = num_levels
        self.num_points = num_points

    def _build_deformable_attention(self, name, queries_shape):
        attention = MultiScaleDeformableAttention(
            self.num_heads,
            self.num_levels,
            self.num_points,
            dtype=self.dtype_policy,
            name=name,
        )
        attention.build(queries_shape)
        return attention

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_levels": self.num_levels,
            "num_points": self.num_points,
        }
