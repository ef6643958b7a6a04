"""Necks: from a backbone's pyramid to the tokens that a transformer reads."""

from keras_detr.models.necks.multi_scale_neck import MultiScaleNeck
from keras_detr.models.necks.single_scale_neck import SingleScaleNeck

__all__ = ["MultiScaleNeck", "SingleScaleNeck"]
