"""What all parts of Deformable DETR's transformer share."""

from keras_detr.layers.deformable_detr.multi_scale_deformable_attention import (
    MultiScaleDeformableAttention,
)
from keras_detr.layers.primitives.transformer_base import TransformerBase


class DeformableBase(TransformerBase):
    """Hold what deformable attention needs beside a transformer's sizes.

    Args:
        num_levels: int, feature maps.
        num_points: int, points that a head reads on each map.
        **kwargs: of `TransformerBase`.
    """

    def __init__(self, num_levels=4, num_points=4, **kwargs):
        # Reference points stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.num_levels = num_levels
        self.num_points = num_points

    def transformer_settings(self):
        """Return the constructor's arguments that a part of this one takes over."""
        return {
            **super().transformer_settings(),
            "num_levels": self.num_levels,
            "num_points": self.num_points,
        }

    def new_deformable_attention(self, name, shape):
        """Return deformable attention for queries of a shape, built."""
        attention = MultiScaleDeformableAttention(
            self.num_heads, self.num_levels, self.num_points, dtype=self.dtype_policy, name=name
        )
        attention.build(shape)
        return attention
