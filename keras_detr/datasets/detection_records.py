"""Check the images and boxes of annotation files, and keep those that can be trained on."""

import concurrent.futures
import functools
import os
from typing import NamedTuple

import numpy as np

from keras_detr.datasets.image_files import existing_files, is_on_its_side, read_header

NO_ID = np.iinfo(np.int64).min
# No image is larger, and the number of its pixels fits into 64 bits.
LARGEST_SIDE = 2**31 - 1

# In pixels. float32 still resolves it in an image of 65,536 pixels a side.
_SMALLEST_SIDE = 0.01
# In pixels. Annotation files round, so an edge may be this far outside.
_ROUNDING = 0.01
# Reading this many headers takes one or two seconds.
_MOST_HEADERS_READ_BY_DEFAULT = 10_000


class ImageTable(NamedTuple):
    """Hold the images of a data set as columns.

    Attributes:
        ids: int64 (images,), all different.
        paths: list of str.
        sizes: int64 (images, 2), (height, width) in pixels; 0 if the annotation doesn't say.
    """

    ids: np.ndarray
    paths: list[str]
    sizes: np.ndarray


class BoxTable(NamedTuple):
    """Hold the boxes of a data set as columns.

    Attributes:
        image_rows: int64 (boxes,), rows of the `ImageTable`.
        annotation_ids: int64 (boxes,), `NO_ID` for none.
        classes: int32 (boxes,), 0-based.
        boxes_xyxy: float64 (boxes, 4), corners in pixels or relative to the image.
        areas: float64 (boxes,), pixels, or NaN for the area of the box.
        is_crowd: bool (boxes,).
    """

    image_rows: np.ndarray
    annotation_ids: np.ndarray
    classes: np.ndarray
    boxes_xyxy: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray

    def take(self, rows):
        """Return the table of some rows, given by index or by a bool for each row."""
        return BoxTable(*(column[rows] for column in self))


class BoxRow(NamedTuple):
    """Hold a box as read from a file: a row of the `BoxTable`, with None for missing values."""

    image_row: int
    annotation_id: int | None
    label: int
    corners: tuple[float, float, float, float]
    area: float | None = None
    is_crowd: bool = False


def image_table(rows):
    """Make a table of images.

    Args:
        rows: list of (id, path, (height, width)).
    """
    ids, paths, sizes = zip(*rows, strict=True) if rows else ((), (), ())
    return ImageTable(
        np.array(ids, np.int64), list(paths), np.array(sizes, np.int64).reshape(-1, 2)
    )


def box_table(rows):
    """Make a table of boxes.

    Args:
        rows: list of `BoxRow`.
    """
    image_rows, ids, classes, corners, areas, is_crowd = (
        zip(*rows, strict=True) if rows else ((),) * 6
    )
    return BoxTable(
        np.array(image_rows, np.int64),
        np.array([NO_ID if number is None else number for number in ids], np.int64),
        np.array(classes, np.int32),
        np.array(corners, np.float64).reshape(-1, 4),
        np.array([np.nan if area is None else area for area in areas], np.float64),
        np.array(is_crowd, bool),
    )


def check_records(
    images, boxes, report, *, is_relative, is_checked, is_crowd_dropped, is_decoded=False
):
    """Keep the images and boxes that can be used, and report the others.

    Args:
        images: `ImageTable`.
        boxes: `BoxTable`.
        report: `DataReport`; problems are added, and the counts are filled in.
        is_relative: bool, whether boxes are relative to the image instead of in pixels.
        is_checked: bool, whether the header of every file is read, or only if the annotation
            doesn't say the size; None is True for up to 10,000 files.
        is_crowd_dropped: bool, whether crowds are left out.
        is_decoded: bool, whether every file is decoded, to leave out those that can't be.

    Returns:
        (`ImageTable`, `BoxTable`): no size is 0; boxes are in pixels, clipped to their image,
        at least 0.01 pixels wide and high, and sorted by image and annotation id.

    Raises:
        ValueError: no image is left, or there were boxes and none is left.
    """
    is_image_kept, sizes = _check_images(images, report, is_checked, is_decoded)
    images = images._replace(sizes=sizes)
    boxes = _check_boxes(images, boxes, is_image_kept, report, is_relative)
    if is_crowd_dropped:
        report.num_crowds_left_out = int(boxes.is_crowd.sum())
        boxes = boxes.take(~boxes.is_crowd)
    kept = np.flatnonzero(is_image_kept)
    new_rows = np.cumsum(is_image_kept) - 1
    boxes = boxes._replace(image_rows=new_rows[boxes.image_rows])
    boxes = boxes.take(np.lexsort((boxes.annotation_ids, boxes.image_rows)))
    images = ImageTable(images.ids[kept], [images.paths[row] for row in kept], sizes[kept])
    _fill_counts(images, boxes, report)
    return images, boxes


def _fill_counts(images, boxes, report):
    report.num_images, report.num_boxes = len(images.ids), len(boxes.image_rows)
    boxes_of_images = np.bincount(boxes.image_rows, minlength=1)
    report.num_empty_images = report.num_images - np.count_nonzero(boxes_of_images)
    report.most_boxes = int(boxes_of_images.max())
    if not report.num_images:
        raise ValueError(
            f"No image can be used. Correct the files, or pass the right folder.\n{report}"
        )
    if report.num_boxes_read and report.num_boxes_dropped == report.num_boxes_read:
        raise ValueError(f"No box can be used. Correct the annotations.\n{report}")


def _check_images(images, report, is_checked, is_decoded):
    """Return which images are kept, and the size of each."""
    is_kept = np.array(existing_files(images.paths), bool)
    for row in np.flatnonzero(~is_kept):
        path = images.paths[row]
        if os.path.exists(path):
            report.add("unreadable_file", int(images.ids[row]), detail=f"{path}: no regular file")
        else:
            report.add("missing_file", int(images.ids[row]), detail=path)
    sizes = images.sizes.copy()
    is_known = (sizes > 0).all(axis=1)
    if is_checked is None:
        is_checked = is_kept.sum() <= _MOST_HEADERS_READ_BY_DEFAULT
    rows = np.flatnonzero(is_kept & (~is_known | is_checked | is_decoded))
    for row, header in zip(rows, _headers(images.paths, rows, is_decoded), strict=True):
        problem = _header_problem(header, tuple(sizes[row].tolist()), images.paths[row])
        if problem:
            report.add(problem[0], int(images.ids[row]), detail=problem[1])
            is_kept[row] = problem[0] == "wrong_size"
        sizes[row] = header.size
    return is_kept, sizes


def _headers(paths, rows, is_decoded):
    """Yield the `Header` of some files."""
    read = functools.partial(read_header, is_decoded=is_decoded)
    # Decoders run in parallel, as they release Python's lock.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() if is_decoded else 1) as threads:
        yield from threads.map(read, (paths[row] for row in rows))


def _header_problem(header, size, path):
    """Return the kind of problem that an image file has and its detail, or None."""
    if header.error:
        return "unreadable_file", header.error
    if size == (0, 0) or size == header.size:
        return None
    detail = f"{path}: (height, width) is {header.size}, and {size} in the annotation"
    if size == header.size[::-1] and is_on_its_side(path):
        advice = "; save it turned, with PIL.ImageOps.exif_transpose"
        return "rotated_image", detail + advice
    return "wrong_size", detail


def _check_boxes(images, boxes, is_image_kept, report, is_relative):
    sizes = images.sizes[boxes.image_rows]
    limits = sizes[:, [1, 0, 1, 0]].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        corners = boxes.boxes_xyxy * limits if is_relative else boxes.boxes_xyxy
        clipped = np.clip(corners, 0, limits)
        is_small = (corners[:, 2:] - corners[:, :2] < _SMALLEST_SIDE).any(axis=1)
        is_outside = (clipped[:, 2:] - clipped[:, :2] < _SMALLEST_SIDE).any(axis=1)
        is_clipped = (np.abs(clipped - corners) > _ROUNDING).any(axis=1)
        own_areas = np.prod(clipped[:, 2:] - clipped[:, :2], axis=1)
    reasons = {
        "box_of_dropped_image": ~is_image_kept[boxes.image_rows],
        "non_finite_box": ~np.isfinite(corners).all(axis=1),
        "no_area_box": is_small,
        "outside_box": is_outside,
    }
    is_kept = np.ones(len(corners), bool)
    for kind, is_affected in reasons.items():
        _list_boxes(report, kind, is_kept & is_affected, images, boxes)
        is_kept &= ~is_affected
    _list_boxes(report, "clipped_box", is_kept & is_clipped, images, boxes)
    is_given = ~np.isnan(boxes.areas)
    is_impossible = is_given & ~((boxes.areas >= 0) & (boxes.areas <= sizes.prod(axis=1)))
    _list_boxes(report, "wrong_area", is_kept & is_impossible, images, boxes)
    areas = np.where(is_given & ~is_impossible, boxes.areas, own_areas)
    return boxes._replace(boxes_xyxy=clipped, areas=areas).take(is_kept)


def _list_boxes(report, kind, is_affected, images, boxes):
    for row in np.flatnonzero(is_affected):
        image_row, annotation_id = boxes.image_rows[row], int(boxes.annotation_ids[row])
        height, width = images.sizes[image_row].tolist()
        corners = ", ".join(f"{number:.6g}" for number in boxes.boxes_xyxy[row])
        detail = f"corners ({corners}) in an image of {width}x{height} pixels"
        if kind == "wrong_area":
            detail = f"area {boxes.areas[row]:.6g}, {detail}"
        elif kind == "box_of_dropped_image":
            detail = images.paths[image_row]
        report.add(
            kind,
            int(images.ids[image_row]),
            None if annotation_id == NO_ID else annotation_id,
            detail,
        )
