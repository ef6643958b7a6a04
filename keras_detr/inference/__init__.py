"""From image files and arrays to the objects on them."""

from keras_detr.inference.detection import Detections, detect
from keras_detr.preprocessing.image_reading import read_image

__all__ = ["Detections", "detect", "read_image"]
