"""Export detectors to files that other runtimes read: from raw images to detections."""

from keras_detr.lazy_names import attach

_HOMES = {
    "ExportComparison": "comparison",
    "RawImageDetector": "raw_image_detector",
    "compare_export": "comparison",
    "export_detector": "formats",
}

__getattr__, __dir__, __all__ = attach(__name__, _HOMES)
