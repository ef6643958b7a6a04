"""Data sets with images in a folder and boxes in a COCO-JSON file."""

import itertools
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_detr.batches.class_names import check_class_names
from keras_detr.checkpoints.files.regular_files import read_regular
from keras_detr.datasets.coco_categories import read_categories
from keras_detr.datasets.data_report import DataReport, UnusableEntry, brief
from keras_detr.datasets.image_files import checked_folder, num_unlisted_images, path_inside
from keras_detr.datasets.json_numbers import area, flag, four_numbers, whole_number
from keras_detr.datasets.record_tables import (
    BOXES,
    LARGEST_SIDE,
    NO_ID,
    BoxRow,
    records_of_rows,
)
from keras_detr.datasets.records_dataset import check_options, dataset_from_records
from keras_detr.datasets.segmentations import read_segmentation

# A few boxes may look like corners by chance.
_FEWEST_CORNERS = 5


def load_coco_json(
    images_dir: str | os.PathLike[str],
    annotations: str | os.PathLike[str] | dict[str, Any],
    *,
    bounding_box_format: str = "xyxy",
    masks: bool = False,
    class_names: Sequence[str] | None = None,
    crowds: str = "keep",
    shuffle_files: bool = False,
    is_checked: bool | None = None,
    broken_images: str = "raise",
    outside_files: str = "refuse",
    exif: str = "apply",
) -> Any:
    """Load images and boxes annotated in COCO's JSON format.

    Entries that can't be used are left out, counted and listed: images without a file, boxes
    without area, outside their image or of an unknown category, and others of
    `keras_detr.datasets.data_report.PROBLEM_KINDS`. Boxes that cross the edge are clipped. If there
    is anything to report, a summary is logged once.

    Args:
        images_dir: path, the folder that the "file_name" of an image is relative to.
        annotations: path of the JSON file, or its content as a dict. "bbox" is (left, top,
            width, height) in pixels; "area" and "iscrowd" may be missing.
        bounding_box_format: str, the format of the boxes returned, one of
            `keras_detr.ops.boxes.BOX_FORMATS`.
        masks: bool, whether "segmentation" is read: the elements then have the mask of each box,
            "masks" bool (N, height, width) in "bounding_boxes". It may be polygons or RLE. A box
            whose mask is missing, or can't be used, is left out and counted.
        class_names: sequence of str, the classes in order, for validation data those of the
            training data, whatever their ids and order are in this file. The file may lack some.
            None is the order of the category ids.
        crowds: "drop" or "keep" boxes that stand for a crowd: "drop" for training, as the
            original does; evaluation needs "keep".
        shuffle_files: bool, whether images are in random order, a new one in each pass: True for
            training. Files are shuffled, not decoded images, so it takes no memory. Parts that
            `take` and `skip` cut from a shuffled data set overlap: cut them from one that isn't.
        is_checked: bool, whether the header of every file is read now, 0.1 ms each: broken files
            are left out, and the file's size replaces a wrong one in the annotation. False trusts
            the annotation, and a file that differs from it is an error when it is read. None is
            True for up to 10,000 images.
        broken_images: how images that can't be decoded are treated. "find" decodes all images now,
            on all cores, leaves broken ones out and lists them in `report`; "skip" skips them when
            they are read, logs them and adds them to `report`, and the length of the data set is
            unknown; "raise" raises an error that names the first one that is read.
        outside_files: "refuse" or "allow" names in the annotation file that lead out of
            `images_dir`: absolute ones, and those with "..". A file from somebody else could
            name any file of this machine. Links in the folder are followed either way.
        exif: "apply": images come as they are displayed, turned as their EXIF tag says, and boxes
            are taken as displayed; only where the annotated size is the stored one, and not the
            displayed one, they are taken as stored, and turned with the image. "ignore": images
            come as they are stored, and boxes are taken as stored; an image whose annotated size
            is only the displayed one is left out. All images where it matters are in `report`;
            with `is_checked=False` they are added when they are read.

    Returns:
        tf.data.Dataset of unbatched elements, see
        `keras_detr.datasets.coco_features.elements_from_builder`. Its attributes (a data set
        mapped from it doesn't have them): `class_names`, list of str, the classes 0..N-1;
        `category_ids`, the tuple of their ids, None for a class that the file lacks; `report`, a
        `DataReport`; `file_names`, dict from image id to path.

    Raises:
        FileNotFoundError: the folder or the file doesn't exist.
        ValueError: an argument is invalid, `annotations` isn't COCO-JSON, two categories with boxes
            have one name, there are boxes of a class that `class_names` lacks, all boxes look
            relative instead of in pixels, a file is outside, or nothing can be used.
        tf.errors.InvalidArgumentError: while reading, an image can't be decoded, or doesn't have
            the size that the annotation says.

    Example:
        ```python
        from keras_detr.datasets import load_coco_json

        train = load_coco_json(
            "my_data/train", "my_data/train/_annotations.coco.json", bounding_box_format="rel_xyxy"
        )
        print(train.class_names, train.report)
        ```

    Source: the data format of https://cocodataset.org.
    """
    check_options(bounding_box_format, crowds, broken_images, outside_files, exif)
    return dataset_from_records(
        read_coco_json(images_dir, annotations, outside_files, masks),
        class_names=check_class_names(class_names),
        bounding_box_format=bounding_box_format,
        crowds=crowds,
        shuffle_files=shuffle_files,
        is_checked=is_checked,
        broken_images=broken_images,
        exif=exif,
    )


def read_coco_json(images_dir, annotations, outside_files, has_masks=False):
    """Return the `Records` of a COCO-JSON file."""
    images_dir = checked_folder(images_dir, "images_dir")
    content, source = _read_json(annotations)
    report = DataReport(source)
    ids_by_name = read_categories(content, source, report)
    images, rows_by_id = _read_images(content["images"], images_dir, report, outside_files)
    report.num_unlisted_files = num_unlisted_images(path for _, path, _ in images)
    boxes = _read_annotations(
        content["annotations"], images, rows_by_id, ids_by_name, report, has_masks
    )
    _report_corners(boxes, images, report)
    records = records_of_rows(images, boxes, tuple(ids_by_name), report)
    return records._replace(category_ids=ids_by_name, has_masks=has_masks)


def _read_json(annotations):
    """Return the content after checking its three lists, and its name for messages."""
    source = "`annotations`"
    if isinstance(annotations, (str, os.PathLike)):
        source, annotations = str(annotations), _parse(pathlib.Path(annotations))
    if not isinstance(annotations, dict):
        raise ValueError(
            f"{source} must hold COCO-JSON, a dict with the lists 'images', 'annotations' and "
            f"'categories'. Received: {brief(annotations)}."
        )
    for key in ("images", "annotations", "categories"):
        entries = annotations.get(key)
        if not isinstance(entries, (list, tuple)):
            found = f"{key!r} is {brief(entries)}" if key in annotations else f"no {key!r}"
            raise ValueError(
                f"{source} must hold the lists 'images', 'annotations' and 'categories'. "
                f"Received: {found} (keys {brief(list(annotations))}). "
                "Where images have no boxes, write an empty list."
            )
    return annotations, source


def _parse(path):
    try:
        return json.loads(read_regular(path))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"`annotations`: there is no file {str(path)!r}. Pass the path of a COCO-JSON file."
        ) from None
    # ValueError: not JSON, not text, or an invalid path.
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"`annotations`: {str(path)!r} can't be read as JSON ({error}). It must be a COCO-JSON "
            "file; if it was cut off, copy it again."
        ) from error


def _read_images(entries, images_dir, report, outside_files):
    """Return the rows of `IMAGES`, and a dict from image id to row, None for ambiguous ids."""
    report.num_images_read = len(entries)
    names_by_id, usable = {}, []
    for entry in entries:
        image_id = whole_number(entry.get("id")) if isinstance(entry, dict) else None
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if image_id is None or not isinstance(name, str) or not name:
            report.add("malformed_image", image_id, detail=brief(entry))
        elif name in names_by_id.setdefault(image_id, {}):
            report.add("duplicate_image", image_id, detail=name)
        else:
            names_by_id[image_id][name] = True
            usable.append((image_id, name, entry))
    rows_by_id, rows = {}, []
    for image_id, name, entry in usable:
        if len(names_by_id[image_id]) > 1:
            # The boxes could belong to any of them.
            names = list(itertools.islice(names_by_id[image_id], 3))
            report.add("ambiguous_image_id", image_id, detail=f"{name}; {brief(names)} share it")
            rows_by_id[image_id] = None
        else:
            rows_by_id[image_id] = len(rows)
            where = f"{report.source}, 'file_name' of image {image_id}"
            path = path_inside(images_dir, _slashed(name, images_dir), outside_files, where)
            rows.append((image_id, path, _image_size(entry, image_id, report)))
    return rows, rows_by_id


def _slashed(name, images_dir):
    """Return a name as this system writes it, where Windows separates its folders."""
    if "\\" in name and not os.path.exists(os.path.join(images_dir, name)):
        return name.replace("\\", "/")
    return name


def _image_size(entry, image_id, report):
    """Return (height, width), both 0 if the entry doesn't say."""
    sides = entry.get("height"), entry.get("width")
    height, width = (whole_number(side) or 0 for side in sides)
    if 0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE:
        return height, width
    if any(side is not None for side in sides):
        report.add("wrong_size", image_id, detail=f"(height, width) {brief(sides)}")
    return 0, 0


def _read_annotations(entries, images, rows_by_id, ids_by_name, report, has_masks):
    """Return the well-formed annotations as an array of `BOXES`."""
    report.num_boxes_read = len(entries)
    labels_by_id = {entry_id: label for label, entry_id in enumerate(ids_by_name.values())}
    rows = []
    for entry in entries:
        try:
            row = _read_annotation(entry, rows_by_id, labels_by_id)
            if has_masks:
                row = row._replace(segmentation=read_segmentation(entry.get("segmentation")))
            rows.append(row)
        except UnusableEntry as problem:
            kind, detail = problem.args
            ids = (entry.get("image_id"), entry.get("id")) if isinstance(entry, dict) else ()
            report.add(kind, *map(whole_number, ids), detail=detail)
    return _without_repeats(np.array(rows, BOXES), images, report)


def _read_annotation(entry, rows_by_id, labels_by_id):
    """Return the `BoxRow` of an annotation, or raise `UnusableEntry`."""
    if not isinstance(entry, dict):
        raise UnusableEntry("malformed_annotation", brief(entry))
    image_id = whole_number(entry.get("image_id"))
    category_id = whole_number(entry.get("category_id"))
    is_crowd = flag(entry.get("iscrowd"))
    if image_id is None or category_id is None or is_crowd is None:
        read = {key: entry.get(key) for key in ("image_id", "category_id", "iscrowd")}
        raise UnusableEntry(
            "malformed_annotation", f"ids must be whole numbers, iscrowd 0 or 1: {brief(read)}"
        )
    if image_id not in rows_by_id:
        raise UnusableEntry("unknown_image", "")
    if category_id not in labels_by_id:
        raise UnusableEntry("unknown_category", f"category_id {category_id}")
    box = four_numbers(entry.get("bbox"))
    if box is None:
        raise UnusableEntry("malformed_box", f"bbox {brief(entry.get('bbox'))}")
    if rows_by_id[image_id] is None:
        raise UnusableEntry("box_of_dropped_image", "several files share the image's id")
    left, top, width, height = box
    annotation_id = whole_number(entry.get("id"))
    return BoxRow(
        rows_by_id[image_id],
        labels_by_id[category_id],
        (left, top, left + width, top + height),
        NO_ID if annotation_id is None else annotation_id,
        area(entry.get("area")),
        is_crowd,
    )


def _without_repeats(boxes, images, report):
    """Leave out exact repeats of earlier annotations; other boxes with the same id stay."""
    ids = boxes["annotation_id"]
    rows = np.flatnonzero(ids != NO_ID)
    _, first, group = np.unique(ids[rows], return_index=True, return_inverse=True)
    earlier = rows[first[group]]
    rows, earlier = rows[rows != earlier], earlier[rows != earlier]
    is_same = (boxes["corners"][rows] == boxes["corners"][earlier]).all(axis=1)
    for column in ("image_row", "class", "is_crowd"):
        is_same &= boxes[column][rows] == boxes[column][earlier]
    for row, is_repeat in zip(rows, is_same, strict=True):
        kind = "duplicate_annotation" if is_repeat else "repeated_annotation_id"
        image_id, *_ = images[boxes["image_row"][row]]
        report.add(kind, image_id, int(ids[row]))
    return np.delete(boxes, rows[is_same])


def _report_corners(boxes, images, report):
    """Report boxes that are most likely (left, top, right, bottom) instead of sizes.

    As sizes, most of them cross the edge of their image; as corners, all are inside.
    """
    sizes = np.array([size for *_, size in images], np.int64).reshape(-1, 2)
    limits = sizes[boxes["image_row"], ::-1] + 1
    corners = boxes["corners"]
    with np.errstate(over="ignore", invalid="ignore"):
        second = corners[:, 2:] - corners[:, :2]
        are_corners = (second > corners[:, :2]).all(axis=1) & (second <= limits).all(axis=1)
    is_crossing = (corners[:, 2:] > limits).any(axis=1)
    if len(boxes) >= _FEWEST_CORNERS and are_corners.all() and is_crossing.mean() > 0.5:
        detail = (
            f"{is_crossing.sum()} of {len(boxes)} boxes end outside of their image, and none would "
            "with right and bottom in place of width and height"
        )
        report.add("corners", detail=detail)
