"""Where tokens and queries lie: in the unpadded image, and on each padded feature map."""

import math

import numpy as np
from keras import ops


def token_centers(spatial_shapes, valid_ratios):
    """Return the place of each token in the unpadded image: float32 (batch or 1, tokens, 2).

    Args:
        spatial_shapes: sequence of (height, width) of the levels.
        valid_ratios: float32 (batch or 1, levels, 2), the image's share of each padded map's width
            and height.
    """
    centers = []
    for level, (height, width) in enumerate(spatial_shapes):
        rows, columns = (
            (ops.arange(side, dtype="float32") + 0.5) / ops.cast(side, "float32")
            for side in (height, width)
        )
        grid = ops.stack(ops.meshgrid(columns, rows), axis=-1)
        ratio = ops.expand_dims(valid_ratios[:, level], 1)
        centers.append(ops.reshape(grid, (1, -1, 2)) / ratio)
    return ops.concatenate(centers, axis=1)


def on_padded_maps(references, valid_ratios):
    """Return references relative to each padded map: (batch, queries, levels, 2 or 4).

    Args:
        references: float32 (batch, queries, 2 or 4), relative to the unpadded image.
        valid_ratios: as of `token_centers`.
    """
    ratios = ops.expand_dims(valid_ratios, 1)
    if references.shape[-1] == 4:
        ratios = ops.concatenate([ratios, ratios], axis=-1)
    return ops.expand_dims(references, 2) * ratios


def on_image(points, valid_ratios):
    """Return points of the padded maps relative to the unpadded image.

    Args:
        points: float32 (batch, queries, heads, levels, points, 2).
        valid_ratios: as of `token_centers`.
    """
    return points / valid_ratios[:, None, None, :, None]


def widths_and_heights(spatial_shapes):
    """Return the sizes of the maps, float32 (levels, 2)."""
    sides = [side for height, width in spatial_shapes for side in (width, height)]
    if all(isinstance(side, int) for side in sides):
        sides = np.array(sides, "float32")
    else:
        sides = ops.cast(ops.stack(sides), "float32")
    return ops.reshape(ops.convert_to_tensor(sides, "float32"), (-1, 2))


def reach_of_sides(sides, num_points):
    """Return how far an offset of 1 moves a point of a box: half its sides, shared by the points.

    Args:
        sides: float32 (..., 2), widths and heights.
        num_points: int, points of a head on each map.
    """
    return sides * (0.5 / num_points)


def with_reach_of_cells(references, spatial_shapes, num_points):
    """Return points as boxes around which an offset of 1 moves a point by a cell, as around points.

    Args:
        references: float32 (batch, queries, levels, 2), relative to each padded map.
        spatial_shapes: as of `token_centers`.
        num_points: int, points of a head on each map.

    Returns:
        float32 (batch, queries, levels, 4).
    """
    sides = (2.0 * num_points) / widths_and_heights(spatial_shapes)
    sides = ops.broadcast_to(sides, ops.shape(references))
    return ops.concatenate([references, sides], axis=-1)


def sine_codes_of_boxes(boxes, hidden_dim):
    """Encode the numbers of boxes by sines and cosines: (..., 2 * hidden_dim), float32.

    Args:
        boxes: float32 (..., 4), in 0..1.
        hidden_dim: int, a multiple of 4.

    Source: Zhu et al. 2021, section A.4; models/deformable_transformer.py of the original.
    """
    num_frequencies = hidden_dim // 4
    exponents = np.arange(num_frequencies, dtype="float32") / num_frequencies
    wavelengths = ops.convert_to_tensor(10000.0**exponents, "float32")
    angles = ops.expand_dims(boxes * (2 * math.pi), -1) / wavelengths
    waves = ops.stack([ops.sin(angles), ops.cos(angles)], axis=-1)
    return ops.reshape(waves, (*ops.shape(boxes)[:-1], 2 * hidden_dim))
