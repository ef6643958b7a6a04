"""COCO's own figures for detections. Names load on first use."""

import importlib

_HOMES = {
    "COCOEvaluation": "coco_evaluation",
    "COCOMetrics": "coco_metrics",
    "COCOResultsWriter": "coco_results",
    "class_table": "summary",
    "evaluate_detector": "detector_evaluation",
    "summary_table": "summary",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return __all__
