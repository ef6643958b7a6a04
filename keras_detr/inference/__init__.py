"""Detect objects in image files and arrays, and turn mask logits into masks and panoptic maps."""

from keras_detr.inference.detection import detect
from keras_detr.inference.detections import Detections
from keras_detr.inference.panoptic import PanopticSegments
from keras_detr.ops.masks.encoded_masks import decode_masks, encode_masks
from keras_detr.ops.masks.segmentation import instance_masks, panoptic_segments
from keras_detr.preprocessing.image_reading import read_image

__all__ = [
    "Detections",
    "PanopticSegments",
    "decode_masks",
    "detect",
    "encode_masks",
    "instance_masks",
    "panoptic_segments",
    "read_image",
]
