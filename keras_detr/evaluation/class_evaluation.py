"""Drive pycocotools with arrays instead of files."""

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def evaluate_by_class(true_boxes, detections, num_classes):
    """Let pycocotools score one class after the other.

    COCO's figures are means over the classes, so the result is that of all at once, while the
    records of only one class are in memory.

    Args:
        true_boxes: float64 (N, 8): image, class, x, y, width, height, area, is crowd. Images
            are numbered, classes are 0-based.
        detections: float64 (K, 7): image, class, x, y, width, height, confidence.
        num_classes: int.

    Returns:
        pycocotools.cocoeval.COCOeval, with its `eval` and `stats` filled.
    """
    summary = COCOeval(iouType="bbox")
    thresholds, recalls = len(summary.params.iouThrs), len(summary.params.recThrs)
    others = (len(summary.params.areaRng), len(summary.params.maxDets))
    precision = np.full((thresholds, recalls, num_classes, *others), -1.0)
    recall = np.full((thresholds, num_classes, *others), -1.0)
    for label in range(num_classes):
        true_rows = true_boxes[true_boxes[:, 1] == label]
        rows = detections[detections[:, 1] == label]
        if not len(true_rows):
            continue
        image_ids = np.unique(np.concatenate([true_rows[:, 0], rows[:, 0]])).tolist()
        # An id of 0 would mean "no match" to pycocotools.
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
        evaluation = COCOeval(truth, detected, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        precision[:, :, label] = evaluation.eval["precision"][:, :, 0]
        recall[:, label] = evaluation.eval["recall"][:, 0]
    summary.eval = {"precision": precision, "recall": recall}
    summary.summarize()
    return summary


def _coco(image_ids, annotations):
    coco = COCO()
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
        "image_id": row[0],
        "category_id": 1,
        "bbox": row[2:6],
        **others,
    }
