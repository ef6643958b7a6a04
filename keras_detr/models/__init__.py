"""Backbones, necks and task models."""

from keras_detr.models.backbones import ResNetBackbone
from keras_detr.models.deformable_detr import DeformableDETR
from keras_detr.models.detr import DETR, DETRSegmenter
from keras_detr.models.dino_detr import DINODETR
from keras_detr.models.epoch_log import EpochLog
from keras_detr.models.loading import load
from keras_detr.models.necks import MultiScaleNeck, SingleScaleNeck
from keras_detr.models.task.set_prediction_detector import SetPredictionDetector
from keras_detr.models.training_run import TrainingRun

# The name to load presets with; it is the same class.
ObjectDetector = SetPredictionDetector

__all__ = [
    "DETR",
    "DINODETR",
    "DETRSegmenter",
    "DeformableDETR",
    "EpochLog",
    "MultiScaleNeck",
    "ObjectDetector",
    "ResNetBackbone",
    "SetPredictionDetector",
    "SingleScaleNeck",
    "TrainingRun",
    "load",
]
