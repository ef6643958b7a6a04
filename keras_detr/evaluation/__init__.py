"""COCO's metrics, panoptic quality, curves and confusion matrices. Names load on first use."""

from keras_detr.lazy_names import attach

_HOMES = {
    "COCOEvaluation": "coco_evaluation",
    "COCOMaskMetrics": "coco_mask_metrics",
    "COCOMetrics": "coco_metrics",
    "COCOResultsWriter": "coco_results",
    "ConfusionMatrix": "confusion_matrix",
    "DetectionCurves": "detection_curves",
    "PanopticQuality": "panoptic_quality",
    "class_table": "summary",
    "evaluate_detector": "detector_evaluation",
    "f1_line": "summary",
    "summary_table": "summary",
}

__getattr__, __dir__, __all__ = attach(__name__, _HOMES)
