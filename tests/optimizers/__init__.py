"""Tests of keras_detr.optimizers."""
