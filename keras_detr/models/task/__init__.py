"""The abstract task: what all detectors share."""

from keras_detr.models.task.set_prediction_detector import SetPredictionDetector, raw_outputs

__all__ = ["SetPredictionDetector", "raw_outputs"]
