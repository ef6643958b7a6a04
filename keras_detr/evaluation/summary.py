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


def summary_table(result: dict[str, Any]) -> str:
    """Return COCO's metrics as a table of text.

    Args:
        result: dict, from `COCOMetrics.result`.

    Returns:
        str, one line a metric, in percent as in papers; a dash if there are no such objects.

    Example:
        ```python
        from keras_detr.evaluation import COCOMetrics, evaluate_detector, summary_table

        metrics = COCOMetrics("rel_xyxy", num_classes=model.num_classes)
        print(summary_table(evaluate_detector(model, valid_batches, metrics=metrics)))
        ```
    """
    return "\n".join(
        f"{name:<10}{_percent(result[name]):>6}  {what}" for name, what in MEANINGS.items()
    )


def class_table(result_per_class: dict[str, Any]) -> str:
    """Return the AP of each class as a table of text.

    Args:
        result_per_class: dict, from `COCOMetrics.result_per_class`.

    Returns:
        str, one line a class, in percent; a dash for a class without objects.

    Example:
        ```python
        from keras_detr.evaluation import class_table

        print(class_table({"cat": 0.41, "dog": 0.38}))
        ```
    """
    width = max((len(name) for name in result_per_class), default=0) + 2
    lines = [f"{name:<{width}}{_percent(value):>6}" for name, value in result_per_class.items()]
    return "\n".join([f"{'class':<{width}}{'AP':>6}", *lines])


def _percent(value):
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
