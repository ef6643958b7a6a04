"""Write names on the axes of an image, where they cover no others."""

import itertools

import numpy as np
from matplotlib.transforms import Bbox
from scipy.ndimage import distance_transform_edt

from keras_detr.visualization.class_colors import OUTLINE, class_color

# When a segment has room for its name. The distance is that of the name's center from the border of
# the segment, horizontally in widths of the name and vertically in its heights: 0.5 where an
# ellipse in the name just fits. The area is that of the segment, in areas of the name.
_LEAST_DISTANCE, _LEAST_AREA = 0.2, 2.0


def draw_label_at_box(axes, item, taken, renderer):
    """Draw the label of a `DrawnObject` where it covers no other one, and return its `Bbox`.

    Args:
        axes: `matplotlib.axes.Axes`, in pixels of the image.
        item: `DrawnObject`.
        taken: list of `Bbox` in dots, the places of other labels.
        renderer: of the figure.
    """
    label, size, offset = _measured_label(axes, item.label, item.class_id, renderer)
    corners = axes.transData.transform(np.reshape(item.box_xyxy, (2, 2)))
    # The y axis of an image points down, that of the figure up.
    box = Bbox([corners.min(axis=0), corners.max(axis=0)])
    place = _place_at_box(box, size, taken, axes.get_window_extent(renderer))
    label.set_position(axes.transData.inverted().transform(np.array(place.min) + offset))
    return place


def draw_label_inside(axes, item, cells, taken, renderer):
    """Draw the label of a `DrawnSegment` inside of it, and return its `Bbox`.

    Args:
        cells: `Cells` of the segment's mask.

    Other arguments are those of `draw_label_at_box`.

    Returns:
        `Bbox` in dots; `None` where there is no room, and nothing is drawn.
    """
    label, size, offset = _measured_label(axes, item.label, item.class_id, renderer)
    center = _center_inside(axes, cells, size, taken, axes.get_window_extent(renderer))
    if center is None:
        label.remove()
        return None
    place = Bbox.from_bounds(*(center - size / 2), *size)
    label.set_position(axes.transData.inverted().transform(np.array(place.min) + offset))
    return place


def _measured_label(axes, text, class_id, renderer):
    """Return a label, its size in dots, and the offset of its position from its lower left."""
    label = axes.text(
        0,
        0,
        text,
        fontsize=7,
        color="#0b0d10",
        va="bottom",
        ha="left",
        zorder=3,
        bbox={
            "boxstyle": "round,pad=0.22,rounding_size=0.18",
            "facecolor": class_color(class_id),
            "edgecolor": OUTLINE,
            "linewidth": 0.6,
        },
        clip_on=True,
    )
    label.update_bbox_position_size(renderer)
    extent = label.get_bbox_patch().get_window_extent(renderer)
    origin = axes.transData.transform((0, 0))
    return label, np.array(extent.size), origin - np.array(extent.min)


def _place_at_box(box, size, taken, extent):
    """Return the first free place for a label near a box, or else the least covered one.

    The box, the taken places, and the extent of the panel, which no label leaves, are `Bbox` in
    dots, y upwards.
    """
    width, height = size
    lefts = (box.x0, box.x1 - width)
    # The upper edge of the box comes before its lower one, left before right, outside before
    # inside.
    at_upper_edge = itertools.product(lefts, (box.y1, box.y1 - height))
    at_lower_edge = itertools.product(lefts, (box.y0 - height, box.y0))
    candidates = [*at_upper_edge, *at_lower_edge]
    best, least_cost = None, np.inf
    for rank, corner in enumerate(candidates):
        wanted = np.array(corner)
        inside = np.maximum(np.minimum(wanted, np.array(extent.max) - size), extent.min)
        place = Bbox.from_bounds(*inside, *size)
        covered = sum(_shared_area(place, other) for other in taken)
        # A label that is moved back into the panel is farther from its box.
        pushed = np.abs(inside - wanted).sum() / height
        cost = 100.0 * covered / (width * height) + 3.0 * pushed + 0.01 * rank
        if cost < least_cost:
            best, least_cost = place, cost
    return best


def _shared_area(box, other):
    shared = Bbox.intersection(box, other)
    return 0.0 if shared is None else shared.width * shared.height


def _center_inside(axes, cells, size, taken, extent):
    """Return the center of a label farthest from the border of a mask, in dots, or `None`."""
    # The axes of an image have no shear, so rows and columns are transformed alone.
    x = axes.transData.transform(np.stack([cells.x, np.zeros_like(cells.x)], axis=-1))[:, 0]
    y = axes.transData.transform(np.stack([np.zeros_like(cells.y), cells.y], axis=-1))[:, 1]
    steps = [abs(dots[1] - dots[0]) / side for dots, side in ((y, size[1]), (x, size[0]))]
    is_inside = cells.share >= 0.5
    if is_inside.sum() * np.prod(steps) < _LEAST_AREA:
        return None
    distance = distance_transform_edt(is_inside, sampling=steps)
    is_free = _is_within(y, extent.intervaly, -size[1] / 2)[:, None] & _is_within(
        x, extent.intervalx, -size[0] / 2
    )
    for other in taken:
        covers = _is_within(y, other.intervaly, size[1] / 2)[:, None]
        is_free &= ~(covers & _is_within(x, other.intervalx, size[0] / 2))
    distance[~is_free] = 0.0
    row, column = np.unravel_index(distance.argmax(), distance.shape)
    if distance[row, column] < _LEAST_DISTANCE:
        return None
    return np.array([x[column], y[row]])


def _is_within(values, interval, margin):
    return (values > interval[0] - margin) & (values < interval[1] + margin)
