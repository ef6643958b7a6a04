"""Check the images and boxes of annotation files, and keep those that can be trained on."""

import concurrent.futures
import functools
import os

import numpy as np

from keras_detr.batches.boxes import LEAST_SIDE, look_relative
from keras_detr.datasets.data_report import PROBLEM_KINDS, UnusableEntry
from keras_detr.datasets.image_files import (
    existing_files,
    read_header,
    similar_files,
)
from keras_detr.datasets.record_tables import NO_ID
from keras_detr.datasets.segmentations import encoded_mask
from keras_detr.preprocessing.exif_orientation import turned_corners, turned_size

# In pixels. float32 still resolves it in an image of 65,536 pixels a side.
_SMALLEST_SIDE = 0.01
# In pixels. Annotation files round, so an edge may be this far outside.
_ROUNDING = 0.01
# Reading this many headers takes one or two seconds.
_MOST_HEADERS_READ_BY_DEFAULT = 10_000


def check_records(
    images,
    boxes,
    report,
    *,
    exif,
    is_relative,
    is_checked,
    is_crowd_dropped,
    is_decoded=False,
    has_masks=False,
):
    """Keep the images and boxes that can be used, and report the others.

    Args:
        images: array of `IMAGES`.
        boxes: array of `BOXES`.
        report: `DataReport`; problems are added, and the counts are filled in.
        exif: "apply" or "ignore", see `keras_detr.datasets.load_coco_json`.
        is_relative: bool, whether boxes are relative to the image instead of in pixels.
        is_checked: bool or None, see `keras_detr.datasets.load_coco_json`. A header is read in any
            case if the annotation doesn't say the size.
        is_crowd_dropped: bool, whether crowds are left out.
        is_decoded: bool, whether every file is decoded, to leave out those that can't be.
        has_masks: bool, whether all boxes have a segmentation.

    Returns:
        The two tables: no size is 0; boxes are in pixels, clipped to their image, at least 0.01
        pixels wide and high, and sorted by image and annotation id; segmentations are
        compressed RLE.

    Raises:
        ValueError: no image is left, or there were boxes and none is left, or all that should be in
            pixels look relative.
    """
    images = images.copy()
    is_image_kept, orientations = _check_images(images, report, exif, is_checked, is_decoded)
    boxes = _turn_boxes(images, boxes, orientations)
    boxes = _check_boxes(images, boxes, is_image_kept, report, is_relative)
    if has_masks:
        boxes = _encode_masks(images, boxes, orientations, report)
    if is_crowd_dropped:
        report.num_crowds_left_out = int(boxes["is_crowd"].sum())
        boxes = boxes[~boxes["is_crowd"]]
    new_rows = np.cumsum(is_image_kept) - 1
    boxes["image_row"] = new_rows[boxes["image_row"]]
    boxes = boxes[np.lexsort((boxes["annotation_id"], boxes["image_row"]))]
    images = images[is_image_kept]
    _fill_counts(images, boxes, report)
    return images, boxes


def _fill_counts(images, boxes, report):
    report.num_images, report.num_boxes = len(images), len(boxes)
    boxes_of_images = np.bincount(boxes["image_row"], minlength=1)
    report.num_empty_images = report.num_images - np.count_nonzero(boxes_of_images)
    report.most_boxes = int(boxes_of_images.max())
    if not report.num_images:
        raise ValueError(
            f"No image can be used. Correct the files, or pass the right folder.\n{report}"
        )
    if report.num_boxes_read and report.num_boxes_dropped == report.num_boxes_read:
        advice = "Correct the annotations."
        if set(report.counts) <= {"no_mask", "box_of_dropped_image"}:
            advice = "None has a mask ('segmentation'): load them without masks."
        raise ValueError(f"No box can be used. {advice}\n{report}")


def _check_images(images, report, exif, is_checked, is_decoded):
    """Return which images are kept, and by which EXIF tags their boxes are turned.

    The sizes and orientations in the table become those of the pixels that are read.
    """
    is_kept = np.array(existing_files(images["path"]), bool)
    absent = images[~is_kept]
    for image, similar in zip(absent, similar_files(absent["path"]), strict=True):
        path = image["path"]
        if os.path.exists(path):
            report.add("unreadable_file", int(image["id"]), detail=f"{path}: no regular file")
        else:
            hint = f", but there is {similar}" if similar else ""
            report.add("missing_file", int(image["id"]), detail=f"{path}{hint}")
    _report_repeated_files(images[is_kept], report)
    is_known = (images["size"] > 0).all(axis=1)
    if is_checked is None:
        is_checked = is_kept.sum() <= _MOST_HEADERS_READ_BY_DEFAULT
    rows = np.flatnonzero(is_kept & (~is_known | is_checked | is_decoded))
    box_orientations = np.ones(len(images), np.int32)
    images["orientation"] = exif == "ignore"
    headers = _headers(images["path"][rows], is_decoded)
    is_turned = exif == "apply"
    for row, (stored_size, orientation, error) in zip(rows, headers, strict=True):
        image = images[row]
        sizes = stored_size, turned_size(stored_size, orientation)
        problem = _header_problem(image, sizes, orientation, error, is_turned)
        if problem:
            kind, detail = problem
            report.add(kind, int(image["id"]), detail=detail)
            is_kept[row] = PROBLEM_KINDS[kind][1] is None
            if kind == "turned_boxes":
                box_orientations[row] = orientation
        images["size"][row] = sizes[is_turned]
        images["orientation"][row] = orientation if is_turned else 1
    return is_kept, box_orientations


def _report_repeated_files(images, report):
    first_ids = {}
    for image_id, path in zip(images["id"].tolist(), images["path"], strict=True):
        first_id = first_ids.setdefault(os.path.normpath(path), image_id)
        if first_id != image_id:
            detail = f"{path} is image {first_id} too; none may have all boxes"
            report.add("repeated_file", image_id, detail=detail)


def _headers(paths, is_decoded):
    """Yield the size and the error of each file."""
    read = functools.partial(read_header, is_decoded=is_decoded)
    # Decoders run in parallel, as they release Python's lock.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() if is_decoded else 1) as threads:
        yield from threads.map(read, paths)


def _header_problem(image, sizes, orientation, error, is_turned):
    """Return the kind of problem that an image has and its detail, or None.

    `sizes` are the stored and the displayed one.
    """
    if error:
        return "unreadable_file", error
    annotated_size = tuple(image["size"].tolist())
    if orientation == 1 and annotated_size in ((0, 0), sizes[0]):
        return None
    size, other = sizes[is_turned], sizes[not is_turned]
    tag = f"the EXIF tag says orientation {orientation}"
    detail = f"{image['path']}: (height, width) is {size}, and {annotated_size} in the annotation"
    if annotated_size == other != size:
        if is_turned:
            return "turned_boxes", f"{detail}, as stored; {tag}"
        return "rotated_image", f"{detail}, as displayed; {tag}: pass `exif='apply'`"
    if annotated_size not in ((0, 0), size):
        return "wrong_size", detail
    if is_turned and annotated_size == size != other:
        return None
    frame = "displayed" if is_turned else "stored"
    return "exif_orientation", f"{image['path']}: {tag}; boxes are taken as {frame}"


def _turn_boxes(images, boxes, orientations):
    """Return boxes as displayed, where they are annotated as stored, in pixels."""
    boxes = boxes.copy()
    orientation_of_box = orientations[boxes["image_row"]]
    for orientation in set(orientations.tolist()) - {1}:
        rows = np.flatnonzero(orientation_of_box == orientation)
        sizes = images["size"][boxes["image_row"][rows]]
        boxes["corners"][rows] = turned_corners(boxes["corners"][rows], sizes, orientation)
    return boxes


def _check_boxes(images, boxes, is_image_kept, report, is_relative):
    sizes = images["size"][boxes["image_row"]]
    limits = sizes[:, [1, 0, 1, 0]].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        corners = boxes["corners"] * limits if is_relative else boxes["corners"]
        clipped = np.clip(corners, 0, limits)
        sides = clipped[:, 2:] - clipped[:, :2]
        is_small = (corners[:, 2:] - corners[:, :2] < _SMALLEST_SIDE).any(axis=1)
        is_outside = (sides < _SMALLEST_SIDE).any(axis=1)
        is_tiny = (sides < 1).all(axis=1) & (sizes.min(axis=1) >= LEAST_SIDE)
        is_clipped = (np.abs(clipped - corners) > _ROUNDING).any(axis=1)
        own_areas = np.prod(sides, axis=1)
    reasons = {
        "box_of_dropped_image": ~is_image_kept[boxes["image_row"]],
        "non_finite_box": ~np.isfinite(corners).all(axis=1),
        "no_area_box": is_small,
        "outside_box": is_outside,
    }
    is_kept = np.ones(len(corners), bool)
    for kind, is_affected in reasons.items():
        _list_boxes(report, kind, is_kept & is_affected, images, boxes)
        is_kept &= ~is_affected
    if not is_relative:
        xywh = np.concatenate([clipped[:, :2], sides], axis=1)
        if look_relative(xywh[is_kept], *sizes[is_kept].T):
            row = np.argmax(is_kept)
            image = images[boxes["image_row"][row]]
            raise ValueError(
                f"{report.source}: boxes must be in pixels, and all of them lie in 0..1, such as "
                f"that of the {_corners_in(image, clipped[row])}, {image['path']!r}: they look "
                "relative to their images. Multiply their x by the width of their image and their "
                "y by its height, and write these into the file."
            )
    _list_boxes(report, "tiny_box", is_kept & is_tiny, images, boxes)
    _list_boxes(report, "clipped_box", is_kept & is_clipped, images, boxes)
    areas = boxes["area"]
    is_impossible = ~np.isnan(areas) & ~((areas >= 0) & (areas <= sizes.prod(axis=1)))
    _list_boxes(report, "wrong_area", is_kept & is_impossible, images, boxes)
    boxes = boxes.copy()
    boxes["corners"] = clipped
    boxes["area"] = np.where(is_impossible | np.isnan(areas), own_areas, areas)
    return boxes[is_kept]


def _encode_masks(images, boxes, orientations, report):
    """Keep the boxes whose segmentations can be used, and report the others."""
    is_kept = np.ones(len(boxes), bool)
    for row, box in enumerate(boxes):
        image_row = box["image_row"]
        image = images[image_row]
        try:
            box["segmentation"] = encoded_mask(
                box["segmentation"], image["size"].tolist(), orientations[image_row]
            )
        except UnusableEntry as problem:
            kind, detail = problem.args
            _report_box(report, kind, image, box, detail)
            is_kept[row] = False
    return boxes[is_kept]


def _list_boxes(report, kind, is_affected, images, boxes):
    for box in boxes[is_affected]:
        image = images[box["image_row"]]
        detail = _corners_in(image, box["corners"])
        if kind == "wrong_area":
            detail = f"area {box['area']:.6g}, {detail}"
        elif kind == "box_of_dropped_image":
            detail = image["path"]
        _report_box(report, kind, image, box, detail)


def _report_box(report, kind, image, box, detail):
    annotation_id = int(box["annotation_id"])
    annotation_id = None if annotation_id == NO_ID else annotation_id
    report.add(kind, int(image["id"]), annotation_id, detail)


def _corners_in(image, corners):
    height, width = image["size"].tolist()
    corners = ", ".join(f"{number:.6g}" for number in corners)
    return f"corners ({corners}) in an image of {width}x{height} pixels"
