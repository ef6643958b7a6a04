"""Detectors as files that other runtimes read: raw images in, detections out."""

from keras_detr.lazy_names import attach

_HOMES = {
    "RawImageDetector": "raw_image_detector",
    "export_detector": "formats",
}

__getattr__, __dir__, __all__ = attach(__name__, _HOMES)
