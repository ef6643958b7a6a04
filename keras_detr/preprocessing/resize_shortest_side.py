"""Resize images to a wanted short side, by the original's rounding."""

import keras
import numpy as np
import tensorflow as tf

from keras_detr.preprocessing.resize import ResizingLayer


def resized_size(height, width, short_side, longest_side):
    """Return the size an image is resized to, as the original computes it.

    The short side becomes `short_side`, less where the long side would pass `longest_side`; the
    long side is cut, not rounded, to whole pixels. 340x200 gives 1332x784 for 800 and 1333.

    Args:
        height: int, pixels, at least 1.
        width: int, pixels, at least 1.
        short_side: int, pixels.
        longest_side: int, pixels, or None for no limit.

    Returns:
        (height, width), two int, at least 1 each.

    Source: facebookresearch/detr, datasets/transforms.py, get_size_with_aspect_ratio.
    """
    height, width = size_for_short_side(
        np.float64(height), np.float64(width), short_side, longest_side, np
    )
    return int(height), int(width)


def size_for_short_side(height, width, short_side, longest_side, library):
    """Return the whole float64 size of `resized_size`, for scalars of NumPy or TensorFlow.

    Arguments are those of `resized_size`; height and width are float64, and `library` is numpy or
    tensorflow.
    """
    # float64, and the original's order of operations, so that ties round alike; round() of
    # Python, NumPy and TensorFlow all take a half to the even neighbour.
    shorter, longer = library.minimum(height, width), library.maximum(height, width)
    short = library.zeros_like(shorter) + short_side
    if longest_side is not None:
        is_capped = longer / shorter * short > longest_side
        capped = library.round(longest_side * shorter / longer)
        # The original makes an empty image of one more than 2,600 times as long as wide. Here it
        # becomes a pixel wide, and as long as it may.
        short = library.where(is_capped, library.maximum(capped, library.ones_like(capped)), short)
        longer = library.where(capped < 1, longest_side * shorter, longer)
    long = library.floor(short * longer / shorter)
    is_tall = width < height
    return library.where(is_tall, long, short), library.where(is_tall, short, long)


def check_sides(short_side, longest_side):
    """Raise a ValueError if a side is below one pixel, or the longest side below the short one."""
    if short_side < 1 or (longest_side is not None and longest_side < short_side):
        raise ValueError(
            "`short_side` must be at least 1 pixel and `longest_side` at least `short_side`, "
            f"or None. Received: short_side={short_side!r}, longest_side={longest_side!r}."
        )


@keras.saving.register_keras_serializable("keras_detr")
class ResizeShortestSide(ResizingLayer):
    """Resize an image to a short side, keeping its aspect, with boxes and areas.

    Pixels, boxes and areas are treated as in every `ResizingLayer`.

    Args:
        short_side: int, pixels of the short side.
        longest_side: int, the long side's limit in pixels, or None for no limit.
        bounding_box_format: str, see `BoxAwareLayer`.

    Source: facebookresearch/detr, datasets/transforms.py, resize.
    """

    def __init__(self, short_side=800, *, longest_side=1333, bounding_box_format=None, **kwargs):
        super().__init__(bounding_box_format=bounding_box_format, **kwargs)
        check_sides(short_side, longest_side)
        self.short_side = short_side
        self.longest_side = longest_side

    def wanted_size(self, height, width):
        return size_for_short_side(height, width, self.short_side, self.longest_side, tf)

    def get_config(self):
        return {
            **super().get_config(),
            "short_side": self.short_side,
            "longest_side": self.longest_side,
        }
