"""Tests of keras_detr.checkpoints.files."""
