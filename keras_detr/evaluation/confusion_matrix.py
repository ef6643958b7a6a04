"""Which classes are taken for which."""

import dataclasses
from typing import Any

import numpy as np

from keras_detr.evaluation.matching import overlaps


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ConfusionMatrix:
    """Count what true objects were detected as.

    `COCOMetrics.confusion_matrix` computes it. `keras_detr.visualization.plot_confusion_matrix`
    draws it.

    Attributes:
        class_names: tuple of str.
        confidence_threshold: float, less confident detections are left out.
        iou_threshold: float, from which IoU on a detection and an object can belong together.
        counts: int (classes + 1, classes + 1), by true class and detected class. The last row and
            column are the background: `counts[label, -1]` objects were missed, and
            `counts[-1, label]` detections belong to no object.

    Example:
        ```python
        from keras_detr.evaluation import COCOMetrics, evaluate_detector

        metrics = COCOMetrics("rel_xyxy", num_classes=model.num_classes)
        evaluate_detector(model, valid_batches, metrics=metrics)
        matrix = metrics.confusion_matrix(confidence_threshold=0.3)
        print(matrix.counts.diagonal()[:-1])  # Objects that were found as what they are.
        ```
    """

    class_names: tuple[str, ...]
    confidence_threshold: float
    iou_threshold: float
    counts: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dict that `json.dumps` takes."""
        return {
            "class_names": list(self.class_names),
            "confidence_threshold": self.confidence_threshold,
            "iou_threshold": self.iou_threshold,
            "counts": self.counts.tolist(),
        }


def confusion_of(true_boxes, detections, class_names, confidence_threshold, iou_threshold):
    """Return a `ConfusionMatrix`.

    In each image, pairs of an object and a detection of at least `iou_threshold` belong together,
    of which each is in one pair only: first pairs of the same class, then the others, and among
    them those of the highest IoU. Unlike in COCO's metrics a pair may so be of two classes, and
    confidence doesn't decide. Crowds are no objects; a detection that belongs to none, but lies in
    a crowd of its class, isn't counted.

    Args:
        true_boxes: float64 (N, 8), as `evaluate_by_class` takes them.
        detections: float64 (K, 7), likewise.
        class_names: tuple of str, one a class.
        confidence_threshold: float.
        iou_threshold: float.

    Source: the definition of `supervision.metrics.ConfusionMatrix`, version 0.31, which knows no
        crowds, and wants more than `iou_threshold`.
    """
    background = len(class_names)
    counts = np.zeros((background + 1, background + 1), np.int64)
    # In float32, as models give confidences.
    is_confident = detections[:, 6].astype(np.float32) >= np.float32(confidence_threshold)
    true_by_image = _by_image(true_boxes)
    found_by_image = _by_image(detections[is_confident])
    for image in {**true_by_image, **found_by_image}:
        truth = true_by_image.get(image, true_boxes[:0])
        found = found_by_image.get(image, detections[:0])
        is_crowd = truth[:, 7] > 0
        iou = overlaps(found[:, 2:6], truth[:, 2:6], is_crowd)
        true_classes, classes = truth[:, 1].astype(np.int64), found[:, 1].astype(np.int64)
        is_same = classes[:, None] == true_classes
        is_inside = np.any((iou >= iou_threshold) & is_same & is_crowd, axis=1)
        true_of = _matched(np.where(is_crowd, -1.0, iou), is_same, iou_threshold)
        is_matched = true_of >= 0
        np.add.at(counts, (true_classes[true_of[is_matched]], classes[is_matched]), 1)
        missed = np.setdiff1d(np.flatnonzero(~is_crowd), true_of)
        np.add.at(counts, (true_classes[missed], background), 1)
        np.add.at(counts, (background, classes[~is_matched & ~is_inside]), 1)
    return ConfusionMatrix(
        class_names=class_names,
        confidence_threshold=confidence_threshold,
        iou_threshold=iou_threshold,
        counts=counts,
    )


def _by_image(rows):
    """Return a dict from images to their rows."""
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    images, starts = np.unique(rows[:, 0], return_index=True)
    return dict(zip(images.tolist(), np.split(rows, starts[1:]), strict=True)) if len(rows) else {}


def _matched(iou, is_same, iou_threshold):
    """Return the place of the true box that each detection belongs to, or -1.

    Args:
        iou: float64 (detections, true boxes).
        is_same: bool (detections, true boxes), whether they have one class.
    """
    true_of = np.full(len(iou), -1)
    rows, columns = np.nonzero(iou >= iou_threshold)
    is_free = np.ones(iou.shape[1], bool)
    for pair in np.lexsort((-iou[rows, columns], ~is_same[rows, columns])):
        row, column = rows[pair], columns[pair]
        if true_of[row] < 0 and is_free[column]:
            true_of[row] = column
            is_free[column] = False
    return true_of
