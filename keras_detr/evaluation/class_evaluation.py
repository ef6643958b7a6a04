"""Run faster-coco-eval, COCO's protocol in C++, on arrays instead of files."""

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from keras_detr.evaluation.summary import MEANINGS


def evaluate_by_class(true_boxes, detections, num_classes):
    """Evaluate the boxes of one class after the other with faster-coco-eval.

    Args:
        true_boxes: float64 (N, 8): image, class, x, y, width, height, area, is crowd. Images
            are numbered, classes are 0-based.
        detections: float64 (K, 7): image, class, x, y, width, height, confidence.
        num_classes: int.

    Returns:
        faster_coco_eval.COCOeval_faster, with `eval` and `stats` as pycocotools fills them.
    """
    truth = {
        "image_id": true_boxes[:, 0].astype(int),
        "bbox": true_boxes[:, 2:6],
        "area": true_boxes[:, 6],
        "iscrowd": true_boxes[:, 7].astype(int),
    }
    found = {
        "image_id": detections[:, 0].astype(int),
        "bbox": detections[:, 2:6],
        "area": detections[:, 4] * detections[:, 5],
        "score": detections[:, 6],
    }
    labels = true_boxes[:, 1], detections[:, 1]
    return _evaluate("bbox", truth, found, labels, num_classes)


def evaluate_masks_by_class(true_rows, true_masks, rows, masks, num_classes, image_sizes):
    """Evaluate the masks of one class after the other with faster-coco-eval.

    Args:
        true_rows: float64 (N, 4): image, class, area, is crowd.
        true_masks: list of N encoded masks, see `keras_detr.inference.encode_masks`.
        rows: float64 (K, 4): image, class, area, confidence.
        masks: list of K encoded masks.
        num_classes: int.
        image_sizes: dict of (height, width) by image.

    Returns:
        As `evaluate_by_class`.
    """
    truth = {
        "image_id": true_rows[:, 0].astype(int),
        "segmentation": _objects(true_masks),
        "area": true_rows[:, 2],
        "iscrowd": true_rows[:, 3].astype(int),
    }
    found = {
        "image_id": rows[:, 0].astype(int),
        "segmentation": _objects(masks),
        "area": rows[:, 2],
        "score": rows[:, 3],
    }
    labels = true_rows[:, 1], rows[:, 1]
    sides = {image: {"height": h, "width": w} for image, (h, w) in image_sizes.items()}
    return _evaluate("segm", truth, found, labels, num_classes, sides)


def twelve_figures(evaluation):
    """Return COCO's twelve metrics of an evaluation as a dict of float, NaN where COCO says -1."""
    return {name: _figure(value) for name, value in zip(MEANINGS, evaluation.stats, strict=True)}


def figures_per_class(evaluation, class_names):
    """Return the AP (IoU 0.50:0.95, all sizes, 100 detections) by class name, NaN likewise."""
    # (IoU thresholds, recalls, classes, sizes, numbers of detections)
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    by_class = zip(class_names, np.moveaxis(precision, -1, 0), strict=True)
    return {name: _figure(values.mean()) for name, values in by_class}


def _evaluate(iou_type, truth, found, labels, num_classes, sides_by_image=None):
    """Evaluate one class after the other.

    COCO's metrics are means over the classes, so the result is the same as for all classes at once,
    but only the records of one class are in memory.

    Args:
        iou_type: "bbox" or "segm".
        truth: dict of columns, arrays of a row for each true object, by COCO's names.
        found: dict of columns, likewise.
        labels: pair of arrays, the classes of the true objects and of those found.
        num_classes: int.
        sides_by_image: dict from images to dicts of "height" and "width", for masks.
    """
    summary = COCOeval_faster(iouType=iou_type, print_function=_print_nothing)
    thresholds, recalls = len(summary.params.iouThrs), len(summary.params.recThrs)
    others = (len(summary.params.areaRng), len(summary.params.maxDets))
    precision = np.full((thresholds, recalls, num_classes, *others), -1.0)
    recall = np.full((thresholds, num_classes, *others), -1.0)
    for label in range(num_classes):
        parts = [
            {name: column[its_labels == label] for name, column in columns.items()}
            for columns, its_labels in zip((truth, found), labels, strict=True)
        ]
        if not len(parts[0]["image_id"]):
            continue
        image_ids = np.unique(np.concatenate([part["image_id"] for part in parts])).tolist()
        images = [{"id": number, **(sides_by_image or {}).get(number, {})} for number in image_ids]
        truth_of_class, found_of_class = (_coco(images, part) for part in parts)
        evaluation = COCOeval_faster(
            truth_of_class, found_of_class, iou_type, print_function=_print_nothing
        )
        evaluation.evaluate()
        evaluation.accumulate()
        precision[:, :, label] = evaluation.eval["precision"][:, :, 0]
        recall[:, label] = evaluation.eval["recall"][:, 0]
    summary.eval = {"precision": precision, "recall": recall}
    summary.summarize()
    return summary


def _coco(images, columns):
    """Return the records of one class."""
    columns = {"iscrowd": np.zeros(len(columns["image_id"]), int), **columns}
    records = zip(*(column.tolist() for column in columns.values()), strict=True)
    coco = COCO(print_function=_print_nothing)
    coco.dataset = {
        "images": images,
        "categories": [{"id": 1}],
        # Ids start at 1: an id of 0 would mean "no match".
        "annotations": [
            {"id": number, "category_id": 1, **dict(zip(columns, record, strict=True))}
            for number, record in enumerate(records, start=1)
        ],
    }
    coco.createIndex()
    return coco


def _objects(values):
    """Return a list of dicts as an array, which can be indexed by a mask."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _figure(value):
    return float("nan") if value < 0 else float(value)


def _print_nothing(*args):
    """Replace the logs that faster-coco-eval prints for every step of every class."""
