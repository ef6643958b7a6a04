"""Tests of keras_detr.ops."""
