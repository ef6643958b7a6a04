"""Tests of keras_detr.layers."""
