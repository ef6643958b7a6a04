"""A figure of panels: images in rows and columns, with objects drawn on them."""

import os
from typing import NamedTuple

import numpy as np
from matplotlib import patheffects
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from keras_detr.visualization.class_colors import class_color
from keras_detr.visualization.drawn_objects import DrawnObject

# Inches: the width of a panel by the number of columns.
_PANEL_WIDTH = {1: 6.4, 2: 4.6, 3: 3.8, 4: 3.4}
_MOST_PANEL_HEIGHT = 6.4
_TITLE_HEIGHT = 0.24
_GAP = 0.14
_MARGIN = 0.16

_DOTS_PER_INCH = 150
_INK = "#22262b"
_RIM = (0.04, 0.05, 0.07, 0.72)


class Panel(NamedTuple):
    """Hold what is drawn in one place of the figure.

    Attributes:
        image: uint8 (height, width, 3).
        objects: list of `DrawnObject`, drawn in this order.
        title: str, the words before the title's details.
        details: str, set lighter after the title.
    """

    image: np.ndarray
    objects: list[DrawnObject]
    title: str
    details: str


def draw_panels(rows, path=None):
    """Draw rows of panels.

    Args:
        rows: list of lists of `Panel`, one to four in every row; the last row may have fewer.
        path: where to write the figure, PNG unless its suffix says otherwise; or `None`.

    Returns:
        `matplotlib.figure.Figure`, which pyplot doesn't know of, so there is nothing to close.
    """
    num_columns = len(rows[0])
    sizes = [[_panel_size(panel, num_columns) for panel in row] for row in rows]
    column_width = max(width for row in sizes for _, width in row)
    row_heights = [max(height for height, _ in row) for row in sizes]
    figure_width = 2 * _MARGIN + num_columns * (column_width + _GAP) - _GAP
    figure_height = 2 * _MARGIN + sum(row_heights) + len(rows) * (_TITLE_HEIGHT + _GAP) - _GAP
    figure = Figure((figure_width, figure_height), dpi=_DOTS_PER_INCH, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    scale = np.array([figure_width, figure_height, figure_width, figure_height])
    top = figure_height - _MARGIN
    for row, row_sizes, row_height in zip(rows, sizes, row_heights, strict=True):
        for column, (panel, (height, width)) in enumerate(zip(row, row_sizes, strict=True)):
            left = _MARGIN + column * (column_width + _GAP)
            place = np.array([left, top - _TITLE_HEIGHT - height, width, height]) / scale
            _draw_panel(figure.add_axes(tuple(place)), panel, canvas.get_renderer())
        top -= row_height + _TITLE_HEIGHT + _GAP
    if path is not None:
        figure.savefig(os.fspath(path))
    return figure


def in_rows(panels, num_columns):
    """Return a list of panels as rows, the last one perhaps shorter."""
    return [panels[i : i + num_columns] for i in range(0, len(panels), num_columns)]


def _panel_size(panel, num_columns):
    """Return the height and width of a panel in inches, of the image's aspect."""
    height, width = panel.image.shape[:2]
    panel_height = min(_PANEL_WIDTH[num_columns] * height / width, _MOST_PANEL_HEIGHT)
    return panel_height, panel_height * width / height


def _draw_panel(axes, panel, renderer):
    height, width = panel.image.shape[:2]
    axes.imshow(panel.image, extent=(0, width, height, 0), aspect="auto")
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    title = axes.annotate(
        panel.title,
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 4.5),
        textcoords="offset points",
        fontsize=9,
        fontweight="bold",
        color=_INK,
    )
    axes.annotate(
        panel.details,
        (1, 0),
        xycoords=title,
        xytext=(5, 0),
        textcoords="offset points",
        fontsize=9,
        color=_INK,
        alpha=0.7,
        va="bottom",
    )
    for item in panel.objects:
        _draw_box(axes, item)
    taken = []
    # Those drawn last lie on top, and choose the places of their labels first.
    for item in reversed(panel.objects):
        taken.append(_draw_label(axes, item, taken, renderer))


def _draw_box(axes, item):
    left, top, right, bottom = item.box_xyxy
    outline = Rectangle(
        (left, top),
        right - left,
        bottom - top,
        fill=False,
        edgecolor=class_color(item.class_id),
        linewidth=1.7,
        joinstyle="round",
        path_effects=[
            patheffects.Stroke(linewidth=3.3, foreground=_RIM),
            patheffects.Normal(),
        ],
    )
    axes.add_patch(outline)


def _draw_label(axes, item, taken, renderer):
    """Write a label where it covers no other, and return the place it takes, in dots."""
    label = axes.text(
        0,
        0,
        item.label,
        fontsize=7,
        color="#0b0d10",
        va="bottom",
        ha="left",
        zorder=3,
        bbox={
            "boxstyle": "round,pad=0.22,rounding_size=0.18",
            "facecolor": class_color(item.class_id),
            "edgecolor": _RIM,
            "linewidth": 0.6,
        },
        clip_on=True,
    )
    label.update_bbox_position_size(renderer)
    extent = label.get_bbox_patch().get_window_extent(renderer)
    origin = axes.transData.transform((0, 0))
    size, offset = np.array(extent.size), origin - np.array(extent.min)
    room = axes.get_window_extent(renderer)
    corners = axes.transData.transform(np.reshape(item.box_xyxy, (2, 2)))
    # The y axis of an image points down, that of the figure up.
    box = Bbox([corners.min(axis=0), corners.max(axis=0)])
    place = _label_place(box, size, taken, room)
    label.set_position(axes.transData.inverted().transform(np.array(place.min) + offset))
    return place


def _label_place(box, size, taken, room):
    """Choose a place near a box: the first that is free, else the one least covered.

    Args:
        box: `Bbox` of the object, in dots, y upwards.
        size: float (2,), width and height of the label.
        taken: list of `Bbox` that other labels take.
        room: `Bbox` of the panel; no label leaves it.
    """
    width, height = size
    candidates = [
        (box.x0, box.y1),
        (box.x0, box.y1 - height),
        (box.x1 - width, box.y1),
        (box.x1 - width, box.y1 - height),
        (box.x0, box.y0 - height),
        (box.x0, box.y0),
        (box.x1 - width, box.y0 - height),
        (box.x1 - width, box.y0),
    ]
    best, least_cost = None, np.inf
    for rank, corner in enumerate(candidates):
        wanted = np.array(corner)
        inside = np.maximum(np.minimum(wanted, np.array(room.max) - size), room.min)
        place = Bbox.from_bounds(*inside, *size)
        covered = sum(_shared_area(place, other) for other in taken)
        # A label pushed back into the panel is less clearly the box's own.
        pushed = np.abs(inside - wanted).sum() / height
        cost = 100.0 * covered / (width * height) + 3.0 * pushed + 0.01 * rank
        if cost < least_cost:
            best, least_cost = place, cost
    return best


def _shared_area(box, other):
    shared = Bbox.intersection(box, other)
    return 0.0 if shared is None else shared.width * shared.height
