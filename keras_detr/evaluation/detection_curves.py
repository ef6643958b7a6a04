"""Precision by recall, and F1 by confidence, of each class and of all."""

import dataclasses
import functools
from typing import Any

import numpy as np

from keras_detr.evaluation.matching import IGNORED, RIGHT, WRONG, match_as_coco

# COCO's recalls, and the confidence thresholds that F1 is computed for.
_RECALLS = np.linspace(0.0, 1.0, 101)
_THRESHOLDS = np.arange(101) / 100


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DetectionCurves:
    """Hold how good detections are at one IoU threshold, by recall and by confidence.

    `COCOMetrics.curves` computes it. `keras_detr.visualization.plot_precision_recall` draws it.

    Attributes:
        class_names: tuple of str.
        iou_threshold: float, from which IoU on a detection is right.
        num_objects: int (classes,), true objects without crowds.
        recalls: float (101,), 0.00, 0.01, ..., 1.00.
        precision: float (classes, 101), the best precision at each of `recalls` or a higher one;
            NaN for a class without objects. Its mean over the recalls is the class' AP.
        confidence_thresholds: float (101,), 0.00, 0.01, ..., 1.00.
        true_positives: int (classes, 101), right detections at each threshold: those of at least
            this confidence count.
        false_positives: int (classes, 101), wrong ones.

    Example:
        ```python
        from keras_detr.evaluation import COCOMetrics, evaluate_detector

        metrics = COCOMetrics("rel_xyxy", num_classes=model.num_classes)
        evaluate_detector(model, valid_batches, metrics=metrics)
        curves = metrics.curves(iou_threshold=0.5)
        print(curves.mean_precision.mean(), curves.best())  # AP50, and the best F1.
        ```
    """

    class_names: tuple[str, ...]
    iou_threshold: float
    num_objects: np.ndarray
    recalls: np.ndarray
    precision: np.ndarray
    confidence_thresholds: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray

    @functools.cached_property
    def mean_precision(self):
        """float (101,): the mean of `precision` over the classes that have objects, or NaN."""
        has_objects = self.num_objects > 0
        if not has_objects.any():
            return np.full(len(self.recalls), np.nan)
        return self.precision[has_objects].mean(axis=0)

    @functools.cached_property
    def f1(self):
        """float (classes, 101): F1 at each threshold; NaN for a class without objects."""
        return _f1(self.true_positives, self.false_positives, self.num_objects[:, None])

    @functools.cached_property
    def overall_f1(self):
        """float (101,): F1 at each threshold, from the counts of all classes together."""
        counts = self.true_positives.sum(axis=0), self.false_positives.sum(axis=0)
        return _f1(*counts, self.num_objects.sum())

    def best(self) -> dict[str, float]:
        """Return the best F1 of all classes together, and the confidence threshold that gives it.

        Returns:
            dict of float: "F1" and "confidence_threshold"; of equally good thresholds it is the one
            in their middle. Both are NaN if there are no objects, and the threshold is if none is
            found at any.
        """
        return _best(self.overall_f1, self.confidence_thresholds)

    def best_per_class(self) -> dict[str, dict[str, float]]:
        """Return the best F1 of each class, with a threshold of its own.

        Returns:
            dict by class name of what `best` returns.
        """
        rows = zip(self.class_names, self.f1, strict=True)
        return {name: _best(f1, self.confidence_thresholds) for name, f1 in rows}

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as a dict that `json.dumps` takes: lists, and `None` for NaN."""
        figures = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        figures |= {name: getattr(self, name) for name in ("mean_precision", "f1", "overall_f1")}
        return {
            "best": _without_nan(self.best()),
            "best_per_class": {
                name: _without_nan(best) for name, best in self.best_per_class().items()
            },
            **{name: _listed(value) for name, value in figures.items()},
        }


def curves_of(true_boxes, detections, class_names, iou_threshold):
    """Return `DetectionCurves`.

    Args:
        true_boxes: float64 (N, 8), as `evaluate_by_class` takes them.
        detections: float64 (K, 7), likewise.
        class_names: tuple of str, one a class.
        iou_threshold: float.
    """
    num_classes = len(class_names)
    outcomes = match_as_coco(true_boxes, detections, iou_threshold)
    objects = true_boxes[true_boxes[:, 7] == 0]
    num_objects = np.bincount(objects[:, 1].astype(np.int64), minlength=num_classes)
    # As in the original, ties are in the order of the images, and of each image's confidences.
    order = np.lexsort((-detections[:, 6], detections[:, 0]))
    order = order[outcomes[order] != IGNORED]
    detections, outcomes = detections[order], outcomes[order]
    precision = np.full((num_classes, len(_RECALLS)), np.nan)
    counts = np.zeros((2, num_classes, len(_THRESHOLDS)), np.int64)
    for label in range(num_classes):
        is_of_class = detections[:, 1] == label
        confidence, found = detections[is_of_class, 6], outcomes[is_of_class]
        counts[0, label] = _counts_from(confidence[found == RIGHT])
        counts[1, label] = _counts_from(confidence[found == WRONG])
        if num_objects[label]:
            is_right = found[np.argsort(-confidence, kind="stable")] == RIGHT
            precision[label] = _precision_at_recalls(is_right, num_objects[label])
    return DetectionCurves(
        class_names=class_names,
        iou_threshold=iou_threshold,
        num_objects=num_objects,
        recalls=_RECALLS,
        precision=precision,
        confidence_thresholds=_THRESHOLDS,
        true_positives=counts[0],
        false_positives=counts[1],
    )


def _counts_from(confidence):
    """Return how many confidences are at least as high as each threshold."""
    # In float32, as models give them: their 0.7 counts at the threshold 0.7.
    confidence = np.sort(confidence.astype(np.float32))
    below = np.searchsorted(confidence, _THRESHOLDS.astype(np.float32), side="left")
    return len(confidence) - below


def _precision_at_recalls(is_right, num_objects):
    """Return the best precision at each recall or a higher one, 0 where it isn't reached.

    Args:
        is_right: bool (detections,), the most confident first.
        num_objects: int.
    """
    num_right = np.cumsum(is_right)
    precision = num_right / np.arange(1, len(is_right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(num_right / num_objects, _RECALLS, side="left")
    return np.append(best, 0.0)[places]


def _f1(true_positives, false_positives, num_objects):
    """Return 2 TP / (2 TP + FP + FN); NaN where there are no objects."""
    doubled = 2.0 * true_positives
    # Every object is either found or missed: TP + FN.
    whole = true_positives + false_positives + num_objects
    return np.where(num_objects > 0, doubled / np.maximum(whole, 1), np.nan)


def _best(f1, thresholds):
    if np.isnan(f1).all():
        return {"F1": float("nan"), "confidence_threshold": float("nan")}
    if not f1.max():
        # Nothing is found at any threshold.
        return {"F1": 0.0, "confidence_threshold": float("nan")}
    places = np.flatnonzero(f1 == f1.max())
    place = places[len(places) // 2]
    return {"F1": float(f1[place]), "confidence_threshold": float(thresholds[place])}


def _without_nan(figures):
    return {name: None if np.isnan(value) else value for name, value in figures.items()}


def _listed(value):
    """Return an array as lists with `None` for NaN, and anything else as it is."""
    if not isinstance(value, np.ndarray):
        return list(value) if isinstance(value, tuple) else value
    if value.dtype.kind != "f":
        return value.tolist()
    return np.where(np.isnan(value), None, value).tolist()
