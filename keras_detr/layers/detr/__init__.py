"""DETR's transformer (Carion et al. 2020)."""
