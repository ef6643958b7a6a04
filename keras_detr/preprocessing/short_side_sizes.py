"""The size that an image is resized to, by the original's rounding. TensorFlow isn't needed."""

import numpy as np


def resized_size(
    height: int, width: int, short_side: int, longest_side: int | None
) -> tuple[int, int]:
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

    Example:
        ```python
        from keras_detr.preprocessing import resized_size

        print(resized_size(480, 640, 800, 1333))  # (800, 1066)
        print(resized_size(340, 200, 800, 1333))  # (1332, 784)
        ```

    Source: facebookresearch/detr, datasets/transforms.py, get_size_with_aspect_ratio.
    """
    height, width = size_for_short_side(
        np.float64(height), np.float64(width), short_side, longest_side, np
    )
    return int(height), int(width)


def is_pair_of_sizes(sizes):
    """Return whether this is a pair of a short side, and the long side's limit or None, in int."""
    if not isinstance(sizes, (tuple, list)) or len(sizes) != 2:
        return False
    short_side, longest_side = sizes
    if not isinstance(short_side, int) or short_side < 1:
        return False
    return longest_side is None or (isinstance(longest_side, int) and longest_side >= short_side)


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
