"""Backbones: from images to feature pyramids."""

from keras_detr.models.backbones.resnet_backbone import ResNetBackbone

__all__ = ["ResNetBackbone"]
