"""Check tables of images and boxes, and read them as tf.data."""

import logging
import os

import numpy as np
import tensorflow as tf

from keras_detr.batches.carried_format import FORMAT_ENTRY
from keras_detr.batches.class_names import difference_of
from keras_detr.datasets.broken_images import BrokenImages
from keras_detr.datasets.data_report import brief
from keras_detr.datasets.detection_records import check_records
from keras_detr.datasets.image_files import decode_image
from keras_detr.datasets.run_decoding import decoded_masks
from keras_detr.ops.backends import current
from keras_detr.ops.boxes import check_box_format, convert_box_format
from keras_detr.preprocessing.assertions import checked
from keras_detr.preprocessing.exif_orientation import check_exif
from keras_detr.preprocessing.undecoded_elements import UndecodedElements

logger = logging.getLogger("keras_detr")


def dataset_from_records(
    records,
    *,
    class_names=None,
    bounding_box_format,
    crowds,
    shuffle_files,
    is_checked,
    broken_images,
    exif,
):
    """Check images and boxes, and read them as elements.

    Args:
        records: `Records`; its report is filled, and logged if anything was dropped or changed.
        class_names: sequence of str, the classes that the elements are to have; None for those of
            the records.

    Other arguments, the result and the errors are those of
    `keras_detr.datasets.load_coco_json`; `category_ids` is None for records without ids. Images are
    shuffled before they are read and decoded.
    """
    boxes, names, report = records.boxes, records.names, records.report
    if class_names is not None:
        boxes = boxes.copy()
        boxes["class"] = _labels(boxes["class"], names, class_names, report.source)
    images, boxes = check_records(
        records.images,
        boxes,
        report,
        exif=exif,
        is_relative=records.is_relative,
        is_checked=is_checked,
        is_crowd_dropped=crowds == "drop",
        is_decoded=broken_images == "find",
        has_masks=records.has_masks,
    )
    class_names = list(names if class_names is None else class_names)
    counts = np.bincount(boxes["class"], minlength=len(class_names)).tolist()
    report.num_boxes_by_class = dict(zip(class_names, counts, strict=True))
    if report.problems or not report.num_boxes_read:
        more = "\n`dataset.report.problems` lists all." if report.problems else ""
        logger.warning("%s%s", report, more)
    num_boxes = np.bincount(boxes["image_row"], minlength=len(images))
    broken = BrokenImages(images, num_boxes, report, is_skipped=broken_images == "skip")
    dataset = _elements(
        images, boxes, bounding_box_format, shuffle_files, broken, records.has_masks
    )
    dataset.class_names = class_names
    dataset.bounding_box_format = bounding_box_format
    ids = records.category_ids
    dataset.category_ids = None if ids is None else tuple(map(ids.get, class_names))
    dataset.report = report
    dataset.file_names = dict(zip(images["id"].tolist(), images["path"], strict=True))
    return dataset


def _labels(labels, names, class_names, source):
    """Return labels that stand for `names` as those that stand for `class_names`."""
    table = np.array([class_names.index(name) if name in class_names else -1 for name in names])
    found = table[labels]
    if (found < 0).any():
        lacking = [names[label] for label in np.unique(labels[found < 0])]
        raise ValueError(
            f"`class_names` must have all classes with boxes, and lacks {brief(lacking)} of "
            f"{source}. {difference_of(tuple(names), tuple(class_names))} Correct names that are "
            "written differently, or leave these boxes out of the file."
        )
    return found


def check_options(
    bounding_box_format, crowds, broken_images, outside_files, exif, argument="crowds"
):
    """Check arguments of `load_coco_json`, or raise ValueError; `argument` names `crowds` in it."""
    check_box_format(bounding_box_format)
    check_exif(exif)
    if crowds not in ("drop", "keep"):
        raise ValueError(f"`{argument}` must be 'drop' or 'keep'. Received: {crowds!r}.")
    if broken_images not in ("raise", "skip", "find"):
        raise ValueError(
            f"`broken_images` must be 'raise', 'skip' or 'find'. Received: {broken_images!r}."
        )
    if outside_files not in ("refuse", "allow"):
        raise ValueError(
            f"`outside_files` must be 'refuse' or 'allow'. Received: {outside_files!r}."
        )


def _elements(images, boxes, bounding_box_format, shuffle_files, broken, has_masks):
    height, width = images["size"][boxes["image_row"]].T
    corners = convert_box_format(
        boxes["corners"], "xyxy", bounding_box_format, (height, width), np.stack
    )
    columns = {
        "boxes": corners.astype(np.float32),
        "classes": boxes["class"],
        "area": boxes["area"].astype(np.float32),
        "is_crowd": boxes["is_crowd"],
    }
    if has_masks:
        columns["masks"] = boxes["segmentation"]
    may_turn = bool((images["orientation"] == 0).any())
    splits = np.searchsorted(boxes["image_row"], np.arange(len(images) + 1))
    current().reserve_gpus(tf.config)
    # tf.data runs on the host, even if there is a GPU.
    with tf.device("CPU:0"):
        columns = {key: tf.constant(column) for key, column in columns.items()}
        splits = tf.constant(splits, tf.int64)
        ids = tf.constant(images["id"])
        paths = tf.constant([os.fsencode(path) for path in images["path"]])
        # TensorFlow decodes those that aren't known to be turned; the others have no path here.
        plain_paths = tf.where(images["orientation"] > 1, "", paths)
        image_sizes = tf.constant(images["size"], tf.int32)

    # Nothing here branches on a tensor, and AutoGraph would take seconds to find that out.
    @tf.autograph.experimental.do_not_convert
    def element(row):
        start, stop = splits[row], splits[row + 1]
        rows = {key: column[start:stop] for key, column in columns.items()}
        if has_masks:
            rows["masks"] = decoded_masks(rows["masks"], image_sizes[row])
        pixels, error = decode_image(
            plain_paths[row], lambda _: broken.decode(row), may_turn=may_turn
        )
        return {
            "images": _checked_image(pixels, error, paths[row], image_sizes[row]),
            "bounding_boxes": rows,
            "image_id": ids[row],
            "image_size": image_sizes[row],
            FORMAT_ENTRY: tf.constant(bounding_box_format),
        }

    def rows_in_order(seed=None):
        rows = tf.data.Dataset.range(len(images))
        return rows.shuffle(len(images), seed) if shuffle_files else rows

    dataset = rows_in_order().map(element, num_parallel_calls=tf.data.AUTOTUNE)
    if broken.is_skipped:
        # Which ones are left is known only after all are decoded.
        return dataset.filter(_has_pixels)
    dataset.undecoded = UndecodedElements(
        rows_in_order, lambda row: tf.gather(image_sizes, row), element, images["size"]
    )
    return dataset


@tf.autograph.experimental.do_not_convert
def _has_pixels(element):
    return tf.size(element["images"]) > 0


def _checked_image(pixels, error, path, image_size):
    pixels = checked(
        pixels,
        error == "",
        [error, "Pass `broken_images='find'` to leave such files out before training."],
    )
    size = tf.shape(pixels)[:2]
    is_skipped = tf.size(pixels) == 0
    return checked(
        pixels,
        is_skipped | tf.reduce_all(size == image_size),
        [
            "The image",
            path,
            "is of (height, width)",
            size,
            "and its annotation says",
            image_size,
            "so that its boxes can't be trusted. Pass `is_checked=True` to read all sizes from "
            "the files.",
        ],
    )
