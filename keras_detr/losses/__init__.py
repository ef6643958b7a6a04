"""Matching costs and the Hungarian loss."""

from keras_detr.losses.focal_classification import FocalClassification
from keras_detr.losses.hungarian_loss import HungarianLoss
from keras_detr.losses.softmax_classification import SoftmaxClassification

__all__ = ["FocalClassification", "HungarianLoss", "SoftmaxClassification"]
