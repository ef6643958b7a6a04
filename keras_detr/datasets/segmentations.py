"""The masks of COCO-JSON: polygons, and runs of pixels (RLE).

A mask stays small until its image is decoded: as COCO's compressed RLE, bytes.
"""

from typing import NamedTuple

import numpy as np
from faster_coco_eval.core import mask as coco_masks

from keras_detr.datasets.data_report import UnusableEntry, brief
from keras_detr.datasets.json_numbers import whole_number
from keras_detr.preprocessing.exif_orientation import turned_pixels, turned_size

_FEWEST_COORDINATES = 6
# How far from an image a point may lie, in its sides: to draw a line takes memory for its length.
_FARTHEST = 10


class Runs(NamedTuple):
    """Hold a mask as the lengths of runs outside and inside of the object, column by column.

    Attributes:
        size: pair of int, (height, width) in pixels.
        counts: int64 array of the lengths, or bytes, COCO's compressed form of them.
    """

    size: tuple[int, int]
    counts: np.ndarray | bytes


def read_segmentation(value):
    """Return the "segmentation" of an annotation: float64 arrays of polygons, or `Runs`.

    Raises:
        UnusableEntry: there is none, or it is malformed.
    """
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(value, dict) and value:
        return _read_runs(value)
    if isinstance(value, (list, tuple)):
        if not any(_is_filled(polygon) for polygon in value):
            raise UnusableEntry("no_mask", f"segmentation {brief(value)}")
        return tuple(_read_polygon(polygon) for polygon in value)
    if not _is_filled(value):
        raise UnusableEntry("no_mask", f"segmentation {brief(value)}")
    raise UnusableEntry("malformed_mask", f"neither polygons nor RLE: {brief(value)}")


def _is_filled(value):
    return value is not None and (not hasattr(value, "__len__") or len(value) > 0)


def _read_polygon(value):
    """Return the coordinates x, y, x, y, ... of a polygon."""
    polygon = _numbers(value)
    if polygon is None or len(polygon) % 2 or len(polygon) < _FEWEST_COORDINATES:
        raise UnusableEntry(
            "malformed_mask", f"a polygon must be x, y of at least 3 points: {brief(value)}"
        )
    polygon = polygon.astype(np.float64)
    if not np.isfinite(polygon).all():
        raise UnusableEntry("malformed_mask", f"a polygon with NaN or infinity: {brief(value)}")
    return polygon


def _read_runs(value):
    size, counts = value.get("size"), value.get("counts")
    sides = [whole_number(side) for side in size] if isinstance(size, (list, tuple)) else []
    if len(sides) != 2 or None in sides:
        raise UnusableEntry("malformed_mask", f"RLE's size must be (height, width): {brief(value)}")
    if isinstance(counts, str) and counts.isascii():
        counts = counts.encode()
    if not isinstance(counts, bytes):
        counts = _whole_counts(counts, sides[0] * sides[1])
        if counts is None:
            raise UnusableEntry(
                "malformed_mask",
                f"RLE's counts must be text, or whole numbers that sum to its size: {brief(value)}",
            )
    return Runs(tuple(sides), counts)


def _whole_counts(value, num_pixels):
    """Return the lengths of runs as an array, or None if they aren't those of an image."""
    counts = _numbers(value)
    if counts is None:
        return None
    is_whole = (counts >= 0) & (counts <= num_pixels) & (counts == np.floor(counts))
    return counts.astype(np.int64) if is_whole.all() and counts.sum() == num_pixels else None


def _numbers(value):
    """Return a list of numbers as an array (N,), or None."""
    if not isinstance(value, (list, tuple, np.ndarray)):
        return None
    try:
        numbers = np.asarray(value)
    except ValueError:  # Lists of several lengths.
        return None
    return numbers if numbers.ndim == 1 and numbers.dtype.kind in "iuf" else None


def encoded_mask(segmentation, image_size, orientation=1):
    """Return a mask as compressed RLE.

    Args:
        segmentation: what `read_segmentation` returns.
        image_size: pair of int, (height, width) of the image as displayed, in pixels.
        orientation: int, the EXIF tag by which the mask is turned as its image is.

    Returns:
        bytes.

    Raises:
        UnusableEntry: it doesn't fit the image, has no pixel, or can't be decoded.
    """
    height, width = (int(side) for side in turned_size(image_size, orientation))
    if isinstance(segmentation, Runs):
        runs = _fitting_runs(segmentation, height, width)
    else:
        runs = _runs_of_polygons(segmentation, height, width)
    if orientation != 1:
        turned = turned_pixels(coco_masks.decode(runs), orientation)
        runs = coco_masks.encode(np.asfortranarray(turned))
    if not coco_masks.area(runs):
        raise UnusableEntry("empty_mask", f"in an image of {width}x{height} pixels")
    return runs["counts"]


def _fitting_runs(segmentation, height, width):
    if segmentation.size != (height, width):
        raise UnusableEntry(
            "mask_of_other_size",
            f"RLE's (height, width) is {segmentation.size}, and the image's {(height, width)}",
        )
    runs = {"size": [height, width], "counts": segmentation.counts}
    try:
        if isinstance(segmentation.counts, bytes):
            coco_masks.decode(runs)
            return runs
        return coco_masks.frPyObjects({**runs, "counts": runs["counts"].tolist()}, height, width)
    except (ValueError, RuntimeError) as error:
        raise UnusableEntry(
            "malformed_mask", f"RLE's counts {brief(segmentation.counts)}: {error}"
        ) from None


def _runs_of_polygons(polygons, height, width):
    farthest = max(np.abs(polygon).max() for polygon in polygons)
    if farthest > _FARTHEST * max(height, width):
        raise UnusableEntry(
            "malformed_mask",
            f"a polygon reaches to {farthest:.6g} in an image of {width}x{height} pixels",
        )
    runs = coco_masks.frPyObjects([polygon.tolist() for polygon in polygons], height, width)
    return coco_masks.merge(runs)
