"""Detect objects in image files and arrays."""

from keras_detr.inference.detection import detect
from keras_detr.inference.detections import Detections
from keras_detr.preprocessing.image_reading import read_image

__all__ = ["Detections", "detect", "read_image"]
