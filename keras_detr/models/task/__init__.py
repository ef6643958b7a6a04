"""The abstract task: what all detectors share."""

from keras_detr.models.task.detector_contract import DetectorContract, raw_outputs
from keras_detr.models.task.set_prediction_detector import SetPredictionDetector

__all__ = ["DetectorContract", "SetPredictionDetector", "raw_outputs"]
