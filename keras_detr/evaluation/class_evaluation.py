"""Run faster-coco-eval, COCO's protocol in C++, on arrays instead of files."""

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster


def evaluate_by_class(true_boxes, detections, num_classes):
    """Evaluate one class after the other with faster-coco-eval.

    COCO's metrics are means over the classes, so the result is the same as for all classes at once,
    but only the records of one class are in memory.

    Args:
        true_boxes: float64 (N, 8): image, class, x, y, width, height, area, is crowd. Images
            are numbered, classes are 0-based.
        detections: float64 (K, 7): image, class, x, y, width, height, confidence.
        num_classes: int.

    Returns:
        faster_coco_eval.COCOeval_faster, with `eval` and `stats` as pycocotools fills them.
    """
    summary = COCOeval_faster(iouType="bbox", print_function=_print_nothing)
    thresholds, recalls = len(summary.params.iouThrs), len(summary.params.recThrs)
    others = (len(summary.params.areaRng), len(summary.params.maxDets))
    precision = np.full((thresholds, recalls, num_classes, *others), -1.0)
    recall = np.full((thresholds, num_classes, *others), -1.0)
    for label in range(num_classes):
        true_rows = true_boxes[true_boxes[:, 1] == label]
        rows = detections[detections[:, 1] == label]
        if not len(true_rows):
            continue
        image_ids = np.unique(np.concatenate([true_rows[:, 0], rows[:, 0]])).astype(int).tolist()
        truth = _coco(image_ids, true_rows, true_rows[:, 6], iscrowd=true_rows[:, 7].astype(int))
        detected = _coco(image_ids, rows, rows[:, 4] * rows[:, 5], score=rows[:, 6])
        evaluation = COCOeval_faster(truth, detected, "bbox", print_function=_print_nothing)
        evaluation.evaluate()
        evaluation.accumulate()
        precision[:, :, label] = evaluation.eval["precision"][:, :, 0]
        recall[:, label] = evaluation.eval["recall"][:, 0]
    summary.eval = {"precision": precision, "recall": recall}
    summary.summarize()
    return summary


def _coco(image_ids, rows, areas, **columns):
    """Return the records of one class; `rows` are those of `evaluate_by_class`."""
    columns = {
        "image_id": rows[:, 0].astype(int),
        "bbox": rows[:, 2:6],
        "area": areas,
        "iscrowd": np.zeros(len(rows), int),
        **columns,
    }
    records = zip(*(column.tolist() for column in columns.values()), strict=True)
    coco = COCO(print_function=_print_nothing)
    coco.dataset = {
        "images": [{"id": image_id} for image_id in image_ids],
        "categories": [{"id": 1}],
        # Ids start at 1: an id of 0 would mean "no match".
        "annotations": [
            {"id": number, "category_id": 1, **dict(zip(columns, record, strict=True))}
            for number, record in enumerate(records, start=1)
        ],
    }
    coco.createIndex()
    return coco


def _print_nothing(*args):
    """Replace the logs that faster-coco-eval prints for every step of every class."""
