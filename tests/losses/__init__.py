"""Tests of keras_detr.losses."""
