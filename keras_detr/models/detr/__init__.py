"""DETR (Carion et al. 2020)."""

from keras_detr.models.detr.detr import DETR

__all__ = ["DETR"]
