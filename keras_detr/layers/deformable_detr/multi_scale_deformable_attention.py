"""Attention that looks at a few points instead of everywhere."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_detr.layers.deformable_detr.references import reach_of_sides, widths_and_heights
from keras_detr.layers.primitives.initializers import xavier_uniform
from keras_detr.layers.primitives.token_dense import TokenDense
from keras_detr.ops.deformable_attention import multi_scale_deformable_attention


@keras.saving.register_keras_serializable("keras_detr")
class MultiScaleDeformableAttention(keras.layers.Layer):
    """Let each query read a few points around its reference, on every level of a pyramid.

    Where the points lie and how much each counts is computed from the query, in float32 under
    mixed precision too. At the start the points of a head form a ray, and all count alike.

    Args:
        num_heads: int, must divide the size of queries.
        num_levels: int, feature maps.
        num_points: int, points of a head on each map.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        queries: (batch, queries, size), at their positions.
        reference_points: float32 (batch or 1, queries, levels, 2 or 4): x and y relative to
            each padded map; with width and height, points move in proportion to these.
        tokens: (batch, tokens, size), the maps flattened row by row, one after another.
        spatial_shapes: sequence of (height, width) of the maps.
        token_mask: bool (batch, tokens), true on the image, or `None`. Padding reads as zero.

    Returns:
        pair of (batch, queries, size), and of where was read: a pair of the points, float32 (batch,
        queries, heads, levels, points, 2), x and y relative to each padded map, and of their
        weights, float32 (batch, queries, heads, levels, points), which sum to 1 for each head.

    Example:
        ```python
        from keras_detr.layers import MultiScaleDeformableAttention

        attention = MultiScaleDeformableAttention(num_heads=2, num_levels=2, num_points=2)
        queries = np.ones((1, 5, 8), "float32")
        points = np.full((1, 5, 2, 2), 0.5, "float32")  # The middle of both maps.
        tokens = np.ones((1, 3 * 4 + 2 * 2, 8), "float32")
        gathered, _ = attention(queries, points, tokens, spatial_shapes=[(3, 4), (2, 2)])
        print(gathered.shape)  # (1, 5, 8)
        ```

    Source: Zhu et al. 2021, equation 3; models/ops/modules/ms_deform_attn.py of the original.
    """

    def __init__(
        self, num_heads: int = 8, num_levels: int = 4, num_points: int = 4, **kwargs: Any
    ) -> None:
        # Reference points stay in float32.
        super().__init__(autocast=False, **kwargs)
        self.num_heads = num_heads
        self.num_levels = num_levels
        self.num_points = num_points

    def build(self, queries_shape, *_, **__):
        """Create the four projections."""
        size = queries_shape[-1]
        if size % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide the size of queries. Received: num_heads="
                f"{self.num_heads}, size {size}."
            )
        num_samples = self.num_heads * self.num_levels * self.num_points
        starting_offsets = keras.initializers.Constant(self._rays())
        self.sampling_offsets = self._dense(
            "sampling_offsets", size, 2 * num_samples, "zeros", starting_offsets, "float32"
        )
        self.attention_weights = self._dense(
            "attention_weights", size, num_samples, "zeros", "zeros", "float32"
        )
        xavier = xavier_uniform(size, size)
        self.value_proj = self._dense("value_proj", size, size, xavier)
        self.output_proj = self._dense("output_proj", size, size, xavier)

    def _dense(self, name, size, width, kernel, bias="zeros", dtype=None):
        dense = TokenDense(
            width,
            kernel_initializer=kernel,
            bias_initializer=bias,
            dtype=dtype or self.dtype_policy,
            name=name,
        )
        dense.build((None, None, size))
        return dense

    def _rays(self):
        """Return the first offsets: a direction for each head, a pixel more for each point."""
        angles = np.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        directions /= np.abs(directions).max(axis=-1, keepdims=True)
        steps = np.arange(1, self.num_points + 1)[:, None]
        rays = np.repeat(directions[:, None, None] * steps, self.num_levels, axis=1)
        return rays.reshape(-1).astype("float32").tolist()

    def call(self, queries, reference_points, tokens, spatial_shapes, token_mask=None):
        """Return what the queries read, and where."""
        values = self.value_proj(tokens)
        if token_mask is not None:
            values = ops.where(ops.expand_dims(token_mask, -1), values, ops.zeros_like(values))
        values = _split_last(values, (self.num_heads, values.shape[-1] // self.num_heads))
        # Levels and points share an axis: TensorFlow broadcasts over few.
        samples = (self.num_heads, self.num_levels * self.num_points)
        offsets = _split_last(self.sampling_offsets(queries), (*samples, 2))
        weights = ops.softmax(_split_last(self.attention_weights(queries), samples), axis=-1)
        references = ops.repeat(ops.expand_dims(reference_points, 2), self.num_points, axis=3)
        if reference_points.shape[-1] == 2:
            sizes = ops.repeat(widths_and_heights(spatial_shapes), self.num_points, axis=0)
            locations = references + offsets / sizes
        else:
            reach = reach_of_sides(references[..., 2:], self.num_points)
            locations = references[..., :2] + offsets * reach
        leading = (*ops.shape(queries)[:2], self.num_heads, self.num_levels, self.num_points)
        locations = ops.reshape(locations, (*leading, 2))
        weights = ops.reshape(weights, leading)
        output = self.output_proj(
            multi_scale_deformable_attention(values, spatial_shapes, locations, weights)
        )
        return output, (locations, weights)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_levels": self.num_levels,
            "num_points": self.num_points,
        }


def _split_last(array, sizes):
    """Split the last axis into several."""
    leading = ops.shape(array)[:-1]
    return ops.reshape(array, (*leading, *sizes))
