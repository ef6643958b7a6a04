"""Drive faster-coco-eval, COCO's protocol in C++, with arrays instead of files."""

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster


def evaluate_by_class(true_boxes, detections, num_classes):
    """Let faster-coco-eval score one class after the other.

    COCO's figures are means over the classes, so the result is that of all at once, while the
    records of only one class are in memory.

    Args:
        true_boxes: float64 (N, 8): image, class, x, y, width, height, area, is crowd. Images
            are numbered, classes are 0-based.
        detections: float64 (K, 7): image, class, x, y, width, height, confidence.
        num_classes: int.

    Returns:
        faster_coco_eval.COCOeval_faster, with its `eval` and `stats` filled as pycocotools does.
    """
    summary = COCOeval_faster(iouType="bbox", print_function=_keep_quiet)
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
        # An id of 0 would mean "no match".
        truth = _coco(
            image_ids,
            [
                _annotation(number, row, area=row[6], iscrowd=int(row[7]))
                for number, row in enumerate(true_rows.tolist(), start=1)
            ],
        )
        detected = _coco(
            image_ids,
            [
                _annotation(number, row, area=row[4] * row[5], iscrowd=0, score=row[6])
                for number, row in enumerate(rows.tolist(), start=1)
            ],
        )
        evaluation = COCOeval_faster(truth, detected, "bbox", print_function=_keep_quiet)
        evaluation.evaluate()
        evaluation.accumulate()
        precision[:, :, label] = evaluation.eval["precision"][:, :, 0]
        recall[:, label] = evaluation.eval["recall"][:, 0]
    summary.eval = {"precision": precision, "recall": recall}
    summary.summarize()
    return summary


def _coco(image_ids, annotations):
    coco = COCO(print_function=_keep_quiet)
    coco.dataset = {
        "images": [{"id": image_id} for image_id in image_ids],
        "categories": [{"id": 1}],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _annotation(number, row, **others):
    return {
        "id": number,
        "image_id": int(row[0]),
        "category_id": 1,
        "bbox": row[2:6],
        **others,
    }


def _keep_quiet(*args):
    """Print nothing, where faster-coco-eval would log every step of every class."""
