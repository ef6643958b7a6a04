"""Choose from what annotation files say: some images, some classes."""

import os

import numpy as np

from keras_detr.datasets.data_report import DataReport


def in_order_of_names(records):
    """Return records with images in the order of their file names.

    Every layout then has one order for the same images.
    """
    names = [os.path.basename(path) for path in records.images["path"]]
    order = sorted(range(len(names)), key=names.__getitem__)
    return _chosen_images(records, np.array(order, np.int64))


def of_classes(records, classes):
    """Return records without the boxes of other classes, which aren't counted either.

    A class that the records don't know has no boxes.
    """
    label_of = np.full(len(records.names), -1, np.int32)
    for row, name in enumerate(records.names):
        if name in classes:
            label_of[row] = classes.index(name)
    boxes = records.boxes.copy()
    boxes["class"] = label_of[boxes["class"]]
    is_kept = boxes["class"] >= 0
    records.report.num_boxes_read -= int(np.count_nonzero(~is_kept))
    return records._replace(boxes=boxes[is_kept], names=tuple(classes))


def held_out(records, share, seed):
    """Return two records: without a share of the images, drawn at random, and with these alone.

    What couldn't be read stays in the first report.

    Raises:
        ValueError: one of the two would have no image.
    """
    num_images = len(records.images)
    num_held_out = max(1, round(share * num_images))
    if num_held_out >= num_images:
        raise ValueError(
            f"{records.report.source}: {num_images} images are too few to hold out some of them "
            "for validation. Add images, or a validation part."
        )
    drawn = np.random.default_rng(seed).permutation(num_images)[:num_held_out]
    is_held_out = np.zeros(num_images, bool)
    is_held_out[drawn] = True
    report = DataReport(f"{records.report.source}, images held out")
    second = _chosen_images(records, np.flatnonzero(is_held_out))._replace(report=report)
    first = _chosen_images(records, np.flatnonzero(~is_held_out))
    report.num_images_read, report.num_boxes_read = len(second.images), len(second.boxes)
    first.report.num_images_read -= report.num_images_read
    first.report.num_boxes_read -= report.num_boxes_read
    return first, second


def _chosen_images(records, rows):
    """Return records with the images of some rows, in this order, and their boxes."""
    new_rows = np.full(len(records.images), -1, np.int64)
    new_rows[rows] = np.arange(len(rows))
    boxes = records.boxes.copy()
    boxes["image_row"] = new_rows[boxes["image_row"]]
    boxes = boxes[boxes["image_row"] >= 0]
    boxes = boxes[np.argsort(boxes["image_row"], kind="stable")]
    return records._replace(images=records.images[rows], boxes=boxes)
