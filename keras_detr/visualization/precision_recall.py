"""Draw precision by recall, and F1 by confidence."""

import math
import os
from typing import Any

import numpy as np

from keras_detr.visualization.charts import new_figure, shortened, written

_SIZE = (10.4, 4.2)
_INK, _GREY = "#22262b", "#b9bfc7"
# More classes can't be told apart by color: their curves are grey, and aren't named.
_MOST_NAMED = 10
_LONGEST_NAME = 24


def plot_precision_recall(curves: Any, *, path: str | os.PathLike[str] | None = None) -> Any:
    """Draw precision by recall, and F1 by confidence, of each class and of all together.

    The legends show AP at the curves' IoU threshold, and the best F1 with its confidence threshold.
    Up to ten classes are named; of more, the curves are grey.

    Args:
        curves: `keras_detr.evaluation.DetectionCurves`, from `COCOMetrics.curves`.
        path: where to write the picture, a PNG; or `None`.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: there are no true objects, and so no curves.

    Example:
        ```python
        from keras_detr.evaluation import COCOMetrics, evaluate_detector
        from keras_detr.visualization import plot_precision_recall

        metrics = COCOMetrics("rel_xyxy", num_classes=model.num_classes)
        evaluate_detector(model, valid_batches, metrics=metrics)
        plot_precision_recall(metrics.curves(), path="precision_recall.png")
        ```
    """
    labels = np.flatnonzero(curves.num_objects)
    if not len(labels):
        raise ValueError("`curves` must be of at least one true object. Received none.")
    is_named = len(labels) <= _MOST_NAMED
    figure = new_figure(_SIZE)
    by_recall, by_confidence = figure.subplots(1, 2)
    best_per_class = curves.best_per_class()
    for number, label in enumerate(labels):
        name = curves.class_names[label]
        style = {"color": f"C{number}"} if is_named else {"color": _GREY, "linewidth": 0.7}
        precision = curves.precision[label]
        _draw(by_recall, curves.recalls, precision, name, f"{precision.mean():.2f}", style)
        best = best_per_class[name]
        detail = _threshold(best)
        _draw(by_confidence, curves.confidence_thresholds, curves.f1[label], name, detail, style)
    style = {"color": _INK, "linewidth": 2.4}
    ap, best = curves.mean_precision.mean(), curves.best()
    title = "mean of the classes" if len(labels) > 1 else "all"
    _draw(by_recall, curves.recalls, curves.mean_precision, title, f"{ap:.2f}", style)
    detail = _threshold(best)
    _draw(by_confidence, curves.confidence_thresholds, curves.overall_f1, "together", detail, style)
    by_confidence.plot(
        best["confidence_threshold"], best["F1"], "o", color=_INK, markersize=5, zorder=3
    )
    threshold = f"IoU {curves.iou_threshold:.2f}"
    _finish(by_recall, f"Precision, {threshold}", "recall", "AP", is_named)
    _finish(by_confidence, f"F1, {threshold}", "confidence threshold", "best F1", is_named)
    return written(figure, path)


def _threshold(best):
    f1, threshold = best["F1"], best["confidence_threshold"]
    # Of a class that is never found there is no best threshold.
    return f"{f1:.2f}" if math.isnan(threshold) else f"{f1:.2f} at {threshold:.2f}"


def _draw(axes, x, y, name, detail, style):
    axes.plot(x, y, label=f"{shortened(name, _LONGEST_NAME)}  {detail}", **style)


def _finish(axes, title, x_label, legend_title, is_named):
    axes.set_title(title, fontsize=10, loc="left", fontweight="bold")
    axes.set_xlabel(x_label, fontsize=8)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    # The curve of all classes is drawn last, and named first.
    *of_classes, of_all = axes.get_legend_handles_labels()[0]
    shown = [of_all, *(of_classes if is_named else [])]
    legend = axes.legend(
        handles=shown,
        title=legend_title,
        alignment="left",
        fontsize=7,
        title_fontsize=7,
        frameon=False,
    )
    for text in legend.get_texts():
        # A "$" in a class name isn't the beginning of a formula.
        text.set_parse_math(False)
