"""Tables of images and boxes, as annotation files are read into them."""

from typing import Any, NamedTuple

import numpy as np

from keras_detr.datasets.data_report import DataReport

NO_ID = np.iinfo(np.int64).min
# No image is larger, and the number of its pixels fits into 64 bits.
LARGEST_SIDE = 2**31 - 1

# A table of images: a structured array with a row for each. "size" is (height, width) in pixels as
# the annotation says, or 0. "orientation" is the EXIF tag by which the pixels are turned, 1 if they
# aren't, and 0 if that is found out when they are read.
IMAGES = np.dtype(
    [("id", np.int64), ("path", object), ("size", np.int64, 2), ("orientation", np.int32)]
)
# A table of boxes. "image_row" is a row of the table of images, and classes are 0-based.
# "segmentation" is that of `keras_detr.datasets.segmentations`, or None where masks aren't read.
BOXES = np.dtype(
    [
        ("image_row", np.int64),
        ("class", np.int32),
        ("corners", np.float64, 4),
        ("annotation_id", np.int64),
        ("area", np.float64),
        ("is_crowd", bool),
        ("segmentation", object),
    ]
)


class BoxRow(NamedTuple):
    """Hold a row of a table of boxes.

    The corners are xyxy in pixels, or relative to the image. The area is in pixels, or NaN where it
    is that of the box.
    """

    image_row: int
    label: int
    corners: tuple[float, float, float, float]
    annotation_id: int = NO_ID
    area: float = np.nan
    is_crowd: bool = False
    segmentation: Any = None


class Records(NamedTuple):
    """Hold what annotation files say, before it is checked.

    Attributes:
        images: array of `IMAGES`.
        boxes: array of `BOXES`.
        names: tuple of str, the classes.
        report: `DataReport`, with the entries that could not be read at all.
        is_relative: bool, whether boxes are relative to the image instead of in pixels.
        category_ids: dict from names of classes to their ids in the file, or None without ids.
        has_masks: bool, whether all boxes have a segmentation.
    """

    images: np.ndarray
    boxes: np.ndarray
    names: tuple
    report: DataReport
    is_relative: bool = False
    category_ids: dict | None = None
    has_masks: bool = False


def records_of_rows(images, boxes, *rest):
    """Return `Records` of images given as (id, path, (height, width)) and `BoxRow`s."""
    return Records(
        np.array([(*image, 0) for image in images], IMAGES), np.array(boxes, BOXES), *rest
    )
