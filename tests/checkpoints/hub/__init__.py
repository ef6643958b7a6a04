"""Tests of keras_detr.checkpoints.hub."""
