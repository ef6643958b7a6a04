"""Find the mask of each object, and draw it: a fill in the color of its class, and an outline."""

from typing import NamedTuple

import numpy as np
from matplotlib import patheffects
from matplotlib.patches import PathPatch
from PIL import Image

from keras_detr.batches.masks import bool_masks
from keras_detr.batches.shapes import described, shape_of
from keras_detr.ops.masks.encoded_masks import decode_masks
from keras_detr.ops.masks.segmentation import instance_masks
from keras_detr.ops.numpy_arrays import to_numpy
from keras_detr.visualization.class_colors import OUTLINE, class_color

# Points (1/72 inch): the outline, and with the dark line beneath it.
_LINE_WIDTH, _DARK_WIDTH = 0.8, 1.8


class Cells(NamedTuple):
    """Hold the part of an image where a mask is, as cells of several pixels.

    Attributes:
        share: float32 (rows, columns), the share of each cell that the mask covers. Cells at the
            border are empty.
        x: float64 (columns,), the centers of the cells in pixels of the image.
        y: float64 (rows,).
    """

    share: np.ndarray
    x: np.ndarray
    y: np.ndarray


def masks_of_objects(objects, places, canvas_size, image_size):
    """Return for each of some objects a function that makes its mask dense, bool (height, width).

    So only one mask need be in memory at a time.

    Args:
        objects: dict, the `detections` of `keras_detr.visualization.plot_detections`.
        places: list of int, the places of the objects in the arrays of the dict.
        canvas_size: pair (height, width) of the padded image.
        image_size: pair (height, width) of the unpadded image, which masks are cut to.

    Returns:
        list of functions, or of `None` where there are no masks.

    Raises:
        ValueError: masks have another size than the image, or aren't one an object.
    """
    names = [name for name in ("masks", "mask_logits") if objects.get(name) is not None]
    if not names:
        return [None] * len(places)
    masks, number = objects[names[0]], len(objects["classes"])
    if not max(places, default=-1) < len(masks) <= number:
        raise ValueError(
            f"`{names[0]}` must be one mask an object, of {number} objects. Received: {len(masks)}."
        )
    if names[0] == "mask_logits":
        sizes = {"canvas_size": tuple(canvas_size), "unpadded_size": tuple(image_size)}
        sizes["image_size"] = sizes["unpadded_size"]
        return [lambda i=i: instance_masks(to_numpy(masks[i])[None], **sizes)[0] for i in places]
    for i in places:
        _check_size(masks[i], tuple(canvas_size), i)
    height, width = image_size
    return [lambda i=i: _dense(masks[i], canvas_size)[:height, :width] for i in places]


def _check_size(mask, canvas_size, place):
    size = tuple(mask.get("size", ())) if isinstance(mask, dict) else shape_of(mask)
    if size is None or tuple(size) != canvas_size:
        received = described(mask) if size is None else tuple(size)
        raise ValueError(
            f"`masks` must have the size of the image, {canvas_size} (height, width). Received: "
            f"{received} at position {place}."
        )


def _dense(mask, canvas_size):
    if isinstance(mask, dict):
        return decode_masks([mask], image_size=canvas_size)[0]
    return bool_masks(to_numpy(mask))


def cells_of_mask(mask, most_size):
    """Return the `Cells` of a mask, or `None` where it is empty.

    Args:
        mask: bool (height, width).
        most_size: pair of numbers (height, width): the image has no fewer cells than that, if it
            has that many pixels.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return None
    step = max(1, int(min(np.divide(mask.shape, most_size))))
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # Cells that are whole, with an empty one on each side.
    part = np.pad(part, [(step, step + -side % step) for side in part.shape])
    share = np.asarray(Image.fromarray(part).convert("L").reduce(step), "float32") / 255.0
    first = np.array([rows[0], columns[0]]) - step / 2
    y, x = (start + step * np.arange(side) for start, side in zip(first, share.shape, strict=True))
    return Cells(share, x, y)


def draw_mask(axes, cells, class_id, opacity, *, has_outline=True):
    """Draw a mask on the axes of an image.

    Args:
        axes: `matplotlib.axes.Axes`, in pixels of the image.
        cells: `Cells`.
        class_id: int.
        opacity: float in 0..1, of the fill.
        has_outline: bool.
    """
    color = class_color(class_id)
    contours = axes.contourf(cells.x, cells.y, cells.share, levels=[0.5, 1.5])
    # They would keep all cells as long as the figure is there. Their paths don't.
    contours.remove()
    for path in contours.get_paths():
        # Other than `add_patch`, it doesn't look for the extent of the path, which takes longest.
        axes.add_artist(PathPatch(path, facecolor=color, alpha=opacity, linewidth=0))
        if has_outline:
            dark = patheffects.withStroke(linewidth=_DARK_WIDTH, foreground=OUTLINE)
            line = {"edgecolor": color, "linewidth": _LINE_WIDTH, "path_effects": [dark]}
            axes.add_artist(PathPatch(path, fill=False, joinstyle="round", **line))
