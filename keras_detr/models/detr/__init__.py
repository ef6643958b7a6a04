"""DETR, and DETR with a mask head."""

from keras_detr.models.detr.detr import DETR
from keras_detr.models.detr.detr_segmenter import DETRSegmenter

__all__ = ["DETR", "DETRSegmenter"]
