"""Multi-scale deformable attention: sample feature maps at points, weight, and sum."""

import math

import numpy as np
from keras import ops

from keras_detr.ops import backends


def multi_scale_deformable_attention(values, spatial_shapes, sampling_locations, attention_weights):
    """Sum bilinear samples of several feature maps, each head at points of its own.

    A point samples its map as if this were surrounded by zeros: pixel centers lie at half-integers,
    so a location x of a map of width w reads at x * w - 0.5. Locations and weights are computed
    with in float32, whatever the dtype of the values. A location that is NaN gives NaN, one at
    infinity gives zero.

    Args:
        values: float (batch, tokens, heads, size), the maps flattened row by row, one after the
            other.
        spatial_shapes: sequence of (height, width) of the maps, int or scalar tensors (which
            only TensorFlow has).
        sampling_locations: float (batch, queries, heads, levels, points, 2), x and y relative to
            the map: 0 is its left or upper edge, 1 its right or lower edge.
        attention_weights: float (batch, queries, heads, levels, points).

    Returns:
        (batch, queries, heads * size), the dtype of `values`.

    Raises:
        ValueError: shapes don't fit each other.

    Source: Zhu et al. 2021, equation 3; models/ops/functions/ms_deform_attn_func.py of the
    original.
    """
    spatial_shapes = tuple(tuple(shape) for shape in spatial_shapes)
    _check(values, spatial_shapes, sampling_locations, attention_weights)
    sums = _sample_and_sum(
        values,
        ops.cast(sampling_locations, "float32"),
        ops.cast(attention_weights, "float32"),
        spatial_shapes=spatial_shapes,
    )
    # Not a part of that program: its loop over rows would become one over whole queries, slower.
    batch, num_queries, num_heads = ops.shape(attention_weights)[:3]
    return ops.reshape(sums, (batch, num_queries, num_heads * values.shape[3]))


@backends.compiled_by_xla
def _sample_and_sum(values, locations, weights, spatial_shapes):
    batch, num_queries, num_heads, num_levels, num_points = ops.shape(weights)
    table, first_cells = _padded_table(values, spatial_shapes)
    cells, factors = _corners(locations, weights, spatial_shapes)
    images = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1, 1, 1, 1))
    heads = ops.reshape(ops.arange(num_heads, dtype="int32"), (1, 1, -1, 1, 1))
    origins = _of_levels(first_cells[:-1], "int32") + images * first_cells[-1]
    terms = (batch * num_queries * num_heads, num_levels * num_points)
    sums = backends.weighted_row_sums(
        table,
        [ops.reshape((origins + cell) * num_heads + heads, terms) for cell in cells],
        [ops.reshape(factor, terms) for factor in factors],
    )
    return ops.cast(sums, values.dtype)


def _padded_table(values, spatial_shapes):
    """Surround every map with zeros.

    Returns:
        pair of the table (rows, size), a row for every head of every cell of every image; and how
        many cells of an image come before each map, and how many there are.
    """
    num_heads, size = values.shape[2:]
    maps, first_cells, start = [], [0], 0
    for height, width in spatial_shapes:
        tokens = values[:, start : start + height * width]
        start = start + height * width
        feature_map = ops.reshape(tokens, (-1, height, width, num_heads * size))
        padded = ops.pad(feature_map, ((0, 0), (1, 1), (1, 1), (0, 0)))
        num_cells = (height + 2) * (width + 2)
        first_cells.append(first_cells[-1] + num_cells)
        maps.append(ops.reshape(padded, (-1, num_cells, num_heads * size)))
    return ops.reshape(ops.concatenate(maps, axis=1), (-1, size)), first_cells


def _corners(locations, weights, spatial_shapes):
    """Return what the four pixels around each point contribute.

    Args:
        locations: float32 (batch, queries, heads, levels, points, 2).
        weights: float32 (batch, queries, heads, levels, points).
        spatial_shapes: as in `multi_scale_deformable_attention`.

    Returns:
        pair of lists of four, each (batch, queries, heads, levels, points): int32, the cells of
        their map with its border of zeros, and float32, their factors.
    """
    heights, widths = zip(*spatial_shapes, strict=True)
    column, right = _split(locations[..., 0], _of_levels(widths, "float32"))
    row, lower = _split(locations[..., 1], _of_levels(heights, "float32"))
    stride = _of_levels(widths, "int32") + 2
    cell = row * stride + column
    cells = [cell, cell + 1, cell + stride, cell + (stride + 1)]
    lower = weights * lower
    upper = weights - lower
    upper_right, lower_right = upper * right, lower * right
    return cells, [upper - upper_right, upper_right, lower - lower_right, lower_right]


def _split(location, size):
    """Return the cell before a point on one axis, int32, and how far the next one takes part."""
    place = ops.clip(location * size - 0.5, -1.0, size)
    before = ops.minimum(ops.floor(place), size - 1.0)
    share = place - ops.stop_gradient(before)
    # No index can be made of a NaN. Its share stays one.
    before = ops.where(ops.isnan(before), -1.0, before)
    return ops.cast(before, "int32") + 1, share


def _of_levels(numbers, dtype):
    """Return one number a level, to be used beside (..., levels, points)."""
    if all(isinstance(number, int) for number in numbers):
        return ops.convert_to_tensor(np.reshape(numbers, (-1, 1)), dtype)
    return ops.reshape(ops.cast(ops.stack(numbers), dtype), (-1, 1))


def _check(values, spatial_shapes, locations, weights):
    if len(values.shape) != 4 or len(locations.shape) != 6 or len(weights.shape) != 5:
        raise ValueError(
            "`values` must be (batch, tokens, heads, size), `sampling_locations` (batch, queries, "
            "heads, levels, points, 2) and `attention_weights` (batch, queries, heads, levels, "
            f"points). Received: {values.shape}, {locations.shape} and {weights.shape}."
        )
    expected = (values.shape[2], len(spatial_shapes), weights.shape[4])
    if tuple(weights.shape[2:]) != expected or tuple(locations.shape[2:]) != (*expected, 2):
        raise ValueError(
            "`sampling_locations` and `attention_weights` must have the heads of `values` and as "
            f"many levels as `spatial_shapes`: {expected[:2]}. Received: {locations.shape} and "
            f"{weights.shape}."
        )
    sides = [side for shape in spatial_shapes for side in shape]
    num_tokens = values.shape[1]
    if num_tokens is not None and all(isinstance(side, int) for side in sides):
        num_cells = sum(math.prod(shape) for shape in spatial_shapes)
        if num_cells != num_tokens:
            raise ValueError(
                f"`spatial_shapes` must add up to the {num_tokens} tokens of `values`. Received: "
                f"{spatial_shapes}, which makes {num_cells}."
            )
