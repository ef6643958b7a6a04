"""Multi-scale deformable attention: sample feature maps at points, weight, and sum."""

import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_detr.ops.backends import current

__all__ = ["multi_scale_deformable_attention"]


def multi_scale_deformable_attention(
    values: Any, spatial_shapes: Any, sampling_locations: Any, attention_weights: Any
) -> Any:
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

    Example:
        ```python
        from keras_detr.ops.deformable_attention import multi_scale_deformable_attention

        values = np.ones((1, 3 * 4, 2, 8), "float32")  # A map of 3x4, and two heads.
        points = np.full((1, 5, 2, 1, 4, 2), 0.5, "float32")
        weights = np.full((1, 5, 2, 1, 4), 0.25, "float32")
        print(multi_scale_deformable_attention(values, [(3, 4)], points, weights).shape)
        ```

    Source: Zhu et al. 2021, equation 3; models/ops/functions/ms_deform_attn_func.py of the
    original.
    """
    spatial_shapes = tuple(tuple(shape) for shape in spatial_shapes)
    _check(values, spatial_shapes, sampling_locations, attention_weights)

    backend = current()

    def sample(program, *arrays):
        # Heads, the third axis of all arrays, know nothing of each other.
        return backend.run(program, *arrays, split_axis=2, spatial_shapes=spatial_shapes)

    @backend.custom_gradient
    def attend(values, locations, weights):
        def gradients(upstream):
            return sample(_gradients, values, locations, weights, upstream)

        return sample(_sums, values, locations, weights)[0], gradients

    locations, weights = (
        ops.cast(array, "float32") for array in (sampling_locations, attention_weights)
    )
    batch, num_queries, num_heads = ops.shape(attention_weights)[:3]
    return ops.reshape(
        attend(values, locations, weights), (batch, num_queries, num_heads * values.shape[3])
    )


def _sums(values, locations, weights, spatial_shapes):
    """Return what each head of each query gathers: a tuple of (batch, queries, heads, size)."""
    table, first_cells = _padded_table(values, spatial_shapes)
    corners = _corners(locations, spatial_shapes)
    sums = current().weighted_row_sums(
        table,
        _rows(corners, weights, first_cells),
        [_flat(weights * share) for share in corners.shares],
    )
    return (ops.reshape(ops.cast(sums, values.dtype), (*ops.shape(weights)[:3], values.shape[3])),)


def _gradients(values, locations, weights, upstream, spatial_shapes):
    """Return the gradients to values, locations and weights.

    Nothing but these inputs is kept for it: the points' cells are computed once more, which takes
    less than to write and read them.
    """
    table, first_cells = _padded_table(values, spatial_shapes)
    corners = _corners(locations, spatial_shapes)
    rows = _rows(corners, weights, first_cells)
    upstream = ops.reshape(ops.cast(upstream, "float32"), (-1, values.shape[3]))
    factors = [_flat(weights * share) for share in corners.shares]
    table_gradient, products = current().weighted_row_gradients(table, rows, factors, upstream)
    # What a point would give if it were on the corner.
    left, right, lower_left, lower_right = (
        ops.reshape(product, ops.shape(weights)) for product in products
    )
    upper = left + corners.right * (right - left)
    difference = lower_left + corners.right * (lower_right - lower_left) - upper
    to_right = right - left + corners.lower * (lower_right - lower_left - right + left)
    heights, widths = zip(*spatial_shapes, strict=True)
    slopes = [
        weights * to_right * corners.moves_right * _of_levels(widths, "float32"),
        weights * difference * corners.moves_down * _of_levels(heights, "float32"),
    ]
    return (
        ops.cast(_unpadded(table_gradient, values, spatial_shapes), values.dtype),
        ops.stack(slopes, axis=-1),
        upper + corners.lower * difference,
    )


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


def _unpadded(table, values, spatial_shapes):
    """Return what `_padded_table` would make that table of."""
    batch, _, num_heads, size = ops.shape(values)
    table = ops.reshape(table, (batch, -1, num_heads * size))
    maps, start = [], 0
    for height, width in spatial_shapes:
        num_cells = (height + 2) * (width + 2)
        padded = ops.reshape(
            table[:, start : start + num_cells], (batch, height + 2, width + 2, num_heads * size)
        )
        maps.append(ops.reshape(padded[:, 1:-1, 1:-1], (batch, height * width, num_heads, size)))
        start = start + num_cells
    return ops.concatenate(maps, axis=1)


class _Corners(NamedTuple):
    """Say where points lie between the cells of their maps.

    Attributes (each (batch, queries, heads, levels, points)):
        cells: list of four int32, the cells around each point in their map with its border of
            zeros: upper left, upper right, lower left, lower right.
        right: float32, the right cells' share.
        lower: float32, the lower cells' share.
        moves_right: float32, 1 where a change of the location changes `right`, else 0.
        moves_down: float32, the same of `lower`.
    """

    cells: list
    right: Any
    lower: Any
    moves_right: Any
    moves_down: Any

    @property
    def shares(self):
        """The shares of the four cells, in their order."""
        lower_right = self.lower * self.right
        upper_right = self.right - lower_right
        lower_left = self.lower - lower_right
        return [1.0 - self.right - lower_left, upper_right, lower_left, lower_right]


def _corners(locations, spatial_shapes):
    heights, widths = zip(*spatial_shapes, strict=True)
    column, right, moves_right = _split(locations[..., 0], _of_levels(widths, "float32"))
    row, lower, moves_down = _split(locations[..., 1], _of_levels(heights, "float32"))
    stride = _of_levels(widths, "int32") + 2
    cell = row * stride + column
    cells = [cell, cell + 1, cell + stride, cell + (stride + 1)]
    return _Corners(cells, right, lower, moves_right, moves_down)


def _split(location, size):
    """Return the cell before a point on one axis, the next one's share, and whether it moves."""
    place = location * size - 0.5
    inside = ops.clip(place, -1.0, size)
    before = ops.minimum(ops.floor(inside), size - 1.0)
    share = inside - before
    # No index can be made of a NaN. Its share stays one.
    before = ops.where(ops.isnan(before), -1.0, before)
    moves = ops.cast(ops.equal(place, inside), "float32")
    return ops.cast(before, "int32") + 1, share, moves


def _rows(corners, weights, first_cells):
    """Return the rows of the table that hold the corners: four int32 (sums, terms)."""
    batch, _, num_heads = ops.shape(weights)[:3]
    images = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1, 1, 1, 1))
    heads = ops.reshape(ops.arange(num_heads, dtype="int32"), (1, 1, -1, 1, 1))
    origins = _of_levels(first_cells[:-1], "int32") + images * first_cells[-1]
    return [_flat((origins + cell) * num_heads + heads) for cell in corners.cells]


def _flat(numbers):
    """Put the points of all levels side by side: (batch * queries * heads, levels * points)."""
    num_levels, num_points = numbers.shape[-2:]
    return ops.reshape(numbers, (-1, num_levels * num_points))


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
