"""Deformable DETR (Zhu et al. 2021)."""

from keras_detr.models.deformable_detr.deformable_detr import DeformableDETR

__all__ = ["DeformableDETR"]
