"""Draw a figure of panels: images in rows and columns, with objects drawn on them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import patheffects
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from PIL import Image

from keras_detr.visualization.class_colors import OUTLINE, class_color
from keras_detr.visualization.drawn_masks import cells_of_mask, draw_mask
from keras_detr.visualization.drawn_objects import DrawnObject, DrawnSegment
from keras_detr.visualization.labels import draw_label_at_box, draw_label_inside

# Inches: the width of a panel by the number of columns.
_PANEL_WIDTH = {1: 6.4, 2: 4.6, 3: 3.8, 4: 3.4}
_MOST_PANEL_HEIGHT = 6.4
_TITLE_HEIGHT = 0.24
# The widest title above a narrow image, by the number of columns.
_WIDEST_TITLE = {1: 4.6, 2: 3.8, 3: 3.4, 4: 3.0}
_GAP = 0.14
_MARGIN = 0.16

# Square points (1/72 inch): the areas of points with weight 0 and with the largest weight.
_LEAST_POINT_AREA, _MOST_POINT_AREA = 3.0, 60.0
_POINT_COLORS = "plasma"
_HEAT_COLORS = "inferno"

# Points (1/72 inch): the font size, and the gap between a title and its details.
_TITLE_SIZE, _TITLE_GAP = 9, 5
# The fewest letters of a title.
_LEAST_TITLE = 8

_DOTS_PER_INCH = 150
# Pixels of an image that are kept for each dot of a side.
_RESOLUTION = 2
_INK = "#22262b"
_FRAME = "#d5d9de"

# Points: a box and the dark line beneath it, and those of an object with a mask, which they cover.
_BOX_WIDTHS, _THIN_BOX_WIDTHS = (1.7, 3.3), (1.1, 2.2)

# Of masks, and of segments, which cover all of the image.
_MASK_OPACITY, _SEGMENT_OPACITY = 0.4, 0.6


class Panel(NamedTuple):
    """Hold the contents of one panel of the figure.

    Attributes:
        image: uint8 (height, width, 3).
        objects: list of `DrawnObject`, drawn in this order; an empty label isn't drawn.
        title: str, the bold part of the title.
        details: str, the lighter part after it.
        points: pair of float (points, 2), x and y in pixels, and their weights (points,), at least
            0; or `None`. Larger weights have larger and lighter points, on top.
        heat: pair of weights (rows, columns), at least 0, and (height, width) in pixels, which they
            cover from the upper left corner on, also beyond the image; or `None`.
        segments: sequence of `DrawnSegment`, labeled in this order.
    """

    image: np.ndarray
    objects: list[DrawnObject]
    title: str
    details: str
    points: tuple[np.ndarray, np.ndarray] | None = None
    heat: tuple[np.ndarray, tuple[float, float]] | None = None
    segments: Sequence[DrawnSegment] = ()


def draw_panels(panels, path=None, most_columns=4):
    """Draw a list of `Panel` in rows of `most_columns`, 1 to 4, and write it to `path`, if any.

    Returns:
        `matplotlib.figure.Figure`, which isn't registered with pyplot and needn't be closed.
    """
    num_columns = min(len(panels), most_columns)
    figure = Figure(dpi=_DOTS_PER_INCH, facecolor="white")
    renderer = FigureCanvasAgg(figure).get_renderer()
    sizes = [_panel_size(panel, num_columns) for panel in panels]
    column_width = max(width for _, width in sizes)
    # Titles of narrow images may extend to the right of them, but not into each other.
    widest_title = max(column_width, _WIDEST_TITLE[num_columns])
    titles = [_fitting_title(renderer, panel, widest_title) for panel in panels]
    column_width = max(column_width, *(_title_width(renderer, *title) for title in titles))
    row_heights = [
        _TITLE_HEIGHT + max(height for height, _ in sizes[first : first + num_columns]) + _GAP
        for first in range(0, len(panels), num_columns)
    ]
    figure_width = 2 * _MARGIN + num_columns * (column_width + _GAP) - _GAP
    figure_height = 2 * _MARGIN + sum(row_heights) - _GAP
    figure.set_size_inches(figure_width, figure_height)
    scale = np.array([figure_width, figure_height, figure_width, figure_height])
    for index, (height, width) in enumerate(sizes):
        row, column = divmod(index, num_columns)
        left = _MARGIN + column * (column_width + _GAP)
        top = figure_height - _MARGIN - sum(row_heights[:row]) - _TITLE_HEIGHT
        axes = figure.add_axes(tuple(np.array([left, top - height, width, height]) / scale))
        _draw_title(axes, *titles[index])
        _draw_panel(axes, panels[index], figure.canvas.get_renderer())
    if path is not None:
        figure.savefig(path)
    return figure


def _panel_size(panel, num_columns):
    """Return the height and width of a panel in inches, with the image's aspect ratio."""
    height, width = panel.image.shape[:2]
    panel_height = min(_PANEL_WIDTH[num_columns] * height / width, _MOST_PANEL_HEIGHT)
    return panel_height, panel_height * width / height


def _draw_panel(axes, panel, renderer):
    height, width = panel.image.shape[:2]
    most_size = _RESOLUTION * axes.get_window_extent(renderer).size[::-1]
    axes.imshow(
        _reduced(panel.image, most_size),
        extent=(0, width, height, 0),
        aspect="auto",
    )
    if panel.heat is not None:
        _draw_heat(axes, *panel.heat)
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    # A light frame shows the edges of a white image.
    axes.spines[:].set(color=_FRAME, linewidth=0.6)
    taken = []
    _draw_segments(axes, panel.segments, most_size, taken, renderer)
    _draw_masks(axes, panel.objects, most_size)
    for item in panel.objects:
        _draw_box(axes, item)
    if panel.points is not None:
        _draw_points(axes, *panel.points)
    # Objects drawn last are on top, and their labels are placed first.
    for item in reversed(panel.objects):
        if item.label:
            taken.append(draw_label_at_box(axes, item, taken, renderer))


def _title_width(renderer, title, details):
    """Return the width of a title and its details, in inches."""
    width = 2.0 * _TITLE_GAP / 72
    for text, weight in ((title, "bold"), (details, "normal")):
        font = FontProperties(size=_TITLE_SIZE, weight=weight)
        width += renderer.get_text_width_height_descent(text, font, False)[0] / _DOTS_PER_INCH
    return width


def _fitting_title(renderer, panel, width):
    """Return a panel's title and details, the title shortened in its middle if it is too long."""
    title, details = panel.title, panel.details
    kept = len(title)
    while _title_width(renderer, title, details) > width and kept > _LEAST_TITLE:
        kept -= 1
        start, end = panel.title[: (kept + 1) // 2], panel.title[-(kept // 2) :]
        title = f"{start}\N{HORIZONTAL ELLIPSIS}{end}"
    return title, details


def _draw_title(axes, title, details):
    title = axes.annotate(
        title,
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 4.5),
        textcoords="offset points",
        fontsize=_TITLE_SIZE,
        fontweight="bold",
        color=_INK,
    )
    axes.annotate(
        details,
        (1, 0),
        xycoords=title,
        xytext=(_TITLE_GAP, 0),
        textcoords="offset points",
        fontsize=_TITLE_SIZE,
        color=_INK,
        alpha=0.7,
        va="bottom",
    )


def _reduced(image, most_size):
    """Reduce an image, but to no fewer pixels than `most_size`, a height and a width."""
    factor = int(min(np.divide(image.shape[:2], most_size)))
    return np.asarray(Image.fromarray(image).reduce(factor)) if factor > 1 else image


def _draw_heat(axes, weights, size):
    """Color an image by weights: the larger, the less of the image is visible."""
    share = weights / weights.max()
    height, width = size
    axes.imshow(
        share,
        cmap=_HEAT_COLORS,
        vmin=0.0,
        vmax=1.0,
        alpha=np.sqrt(share),
        interpolation="bilinear",
        extent=(0, width, height, 0),
        aspect="auto",
    )


def _draw_points(axes, places, weights):
    order = np.argsort(weights, kind="stable")
    share = weights[order] / max(weights.max(), np.finfo("float32").tiny)
    axes.scatter(
        *places[order].T,
        s=_LEAST_POINT_AREA + (_MOST_POINT_AREA - _LEAST_POINT_AREA) * share,
        c=share,
        cmap=_POINT_COLORS,
        # Leave out the darkest colors, which aren't visible on a dark image.
        vmin=-0.4,
        vmax=1.0,
        edgecolors=[OUTLINE],
        linewidths=0.5,
    )


def _draw_masks(axes, objects, most_size):
    for item in objects:
        cells = None if item.mask is None else cells_of_mask(item.mask(), most_size)
        if cells is not None:
            draw_mask(axes, cells, item.class_id, _MASK_OPACITY)


def _draw_segments(axes, segments, most_size, taken, renderer):
    """Draw segments and their names, and add the places of the names to `taken`."""
    for item in segments:
        mask = item.mask()
        cells = cells_of_mask(mask, most_size)
        if cells is None:
            continue
        draw_mask(axes, cells, item.class_id, _SEGMENT_OPACITY, has_outline=item.is_thing)
        # A name needn't lie where it does to half a dot.
        coarse = cells_of_mask(mask, most_size / 4)
        place = draw_label_inside(axes, item, coarse, taken, renderer)
        if place is not None:
            taken.append(place)


def _draw_box(axes, item):
    left, top, right, bottom = item.box_xyxy
    width, dark_width = _BOX_WIDTHS if item.mask is None else _THIN_BOX_WIDTHS
    outline = Rectangle(
        (left, top),
        right - left,
        bottom - top,
        fill=False,
        edgecolor=class_color(item.class_id),
        linewidth=width,
        joinstyle="round",
        path_effects=[patheffects.withStroke(linewidth=dark_width, foreground=OUTLINE)],
    )
    axes.add_patch(outline)
