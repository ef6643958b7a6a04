"""Optimizers with the papers' learning-rate groups."""

from keras_detr.optimizers.detr_optimizer import detr_optimizer
from keras_detr.optimizers.global_clip_multi_optimizer import GlobalClipMultiOptimizer

__all__ = ["GlobalClipMultiOptimizer", "detr_optimizer"]
