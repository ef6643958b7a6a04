"""DINO (Zhang et al. 2022)."""

from keras_detr.models.dino_detr.dino_detr import DINODETR

__all__ = ["DINODETR"]
