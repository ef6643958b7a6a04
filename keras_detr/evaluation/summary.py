"""Format COCO's metrics as tables of text."""

import math
from typing import Any

# COCO's twelve metrics, in its order.
MEANINGS = {
    "AP": "IoU 0.50:0.95, all sizes, at most 100 detections",
    "AP50": "IoU 0.50",
    "AP75": "IoU 0.75",
    "AP_small": "area below 32x32 pixels",
    "AP_medium": "area from 32x32 to 96x96",
    "AP_large": "area above 96x96",
    "AR1": "recall with 1 detection an image",
    "AR10": "recall with 10",
    "AR100": "recall with 100",
    "AR_small": "recall, small objects",
    "AR_medium": "recall, medium objects",
    "AR_large": "recall, large objects",
}

# Before their names, for masks.
MASK_PREFIX = "mask_"


def summary_table(result: dict[str, Any]) -> str:
    """Return COCO's metrics as a table of text.

    Args:
        result: dict, from `evaluate_detector`, `COCOMetrics.result` or `COCOMaskMetrics.result`.

    Returns:
        str, one line a metric, in percent as in papers; a dash if there are no such objects. Where
        the result has figures of boxes and of masks, these have a column each.

    Example:
        ```python
        from keras_detr.evaluation import COCOMetrics, evaluate_detector, summary_table

        metrics = COCOMetrics("rel_xyxy", num_classes=model.num_classes)
        print(summary_table(evaluate_detector(model, valid_batches, metrics=metrics)))
        ```
    """
    lines, prefixes = [], [""]
    if f"{MASK_PREFIX}AP" in result:
        lines.append(f"{'':<10}{'boxes':>6}{'masks':>7}")
        prefixes.append(MASK_PREFIX)
    for name, what in MEANINGS.items():
        boxes, *masks = (_percent(result[f"{prefix}{name}"]) for prefix in prefixes)
        lines.append(f"{name:<10}{boxes:>6}{''.join(f'{value:>7}' for value in masks)}  {what}")
    return "\n".join(lines)


def class_table(
    result_per_class: dict[str, Any],
    best_f1_per_class: dict[str, Any] | None = None,
    mask_result_per_class: dict[str, Any] | None = None,
) -> str:
    """Return the AP of each class, and perhaps that of masks and its best F1, as a table of text.

    Args:
        result_per_class: dict, from `COCOMetrics.result_per_class`.
        best_f1_per_class: dict, from `DetectionCurves.best_per_class`; or `None`.
        mask_result_per_class: dict, from `COCOMaskMetrics.result_per_class`; or `None`.

    Returns:
        str, one line a class: AP, that of masks and F1, in percent, and the confidence threshold
        that gives the best F1; a dash for a class without objects.

    Example:
        ```python
        from keras_detr.evaluation import class_table

        print(class_table({"cat": 0.41, "dog": 0.38}))
        ```
    """
    width = max((len(name) for name in result_per_class), default=0) + 2
    lines = [f"{'class':<{width}}{'AP':>6}"]
    lines += [f"{name:<{width}}{_percent(value):>6}" for name, value in result_per_class.items()]
    if mask_result_per_class is not None:
        values = [_percent(mask_result_per_class[name]) for name in result_per_class]
        cells = ["mask AP", *values]
        lines = [f"{line}{cell:>9}" for line, cell in zip(lines, cells, strict=True)]
    if best_f1_per_class is not None:
        cells = [f"{'F1':>8}{'confidence':>12}"]
        for best in (best_f1_per_class[name] for name in result_per_class):
            threshold = best["confidence_threshold"]
            shown = "-" if math.isnan(threshold) else f"{threshold:.2f}"
            cells.append(f"{_percent(best['F1']):>8}{shown:>12}")
        lines = [line + cell for line, cell in zip(lines, cells, strict=True)]
    return "\n".join(lines)


def f1_line(best: dict[str, float]) -> str:
    """Return the best F1 and its confidence threshold as a line of text.

    Args:
        best: dict, from `DetectionCurves.best`.

    Returns:
        str, as a line of `summary_table`.

    Example:
        ```python
        from keras_detr.evaluation import f1_line

        print(f1_line({"F1": 0.71, "confidence_threshold": 0.43}))
        ```
    """
    if math.isnan(best["F1"]):
        return f"{'F1':<10}{'-':>6}  IoU 0.50"
    if math.isnan(best["confidence_threshold"]):
        return f"{'F1':<10}{_percent(best['F1']):>6}  IoU 0.50: nothing is found"
    threshold = f"{best['confidence_threshold']:.2f}"
    return f"{'F1':<10}{_percent(best['F1']):>6}  IoU 0.50, the best, at confidence {threshold}"


def _percent(value):
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
