"""Deformable DETR's transformer (Zhu et al. 2021)."""
