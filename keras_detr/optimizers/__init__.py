"""Optimizers with the papers' learning-rate groups, and schedules."""

from keras_detr.optimizers.detr_optimizer import detr_optimizer
from keras_detr.optimizers.global_clip_multi_optimizer import GlobalClipMultiOptimizer
from keras_detr.optimizers.schedules import step_decay, warmup_cosine

__all__ = ["GlobalClipMultiOptimizer", "detr_optimizer", "step_decay", "warmup_cosine"]
