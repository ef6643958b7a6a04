"""The sizes of images without their padding."""

import numpy as np


def unpadded_sizes(images, pixel_mask=None, library=np):
    """Return the heights and widths of a batch's images without their padding.

    Args:
        images: (batch, height, width, 3).
        pixel_mask: (batch, height, width), non-zero on the image and 0 on padding, which lies at
            the bottom and on the right; `None` where nothing is padded.
        library: `numpy` or `keras.ops`, whichever the arrays belong to.

    Returns:
        pair of int arrays (batch,), or (1,) without a mask.
    """
    if pixel_mask is None:
        height, width = library.shape(images)[1:3]
        return library.reshape(height, (1,)), library.reshape(width, (1,))
    # One column and one row say how far an image reaches.
    lines = pixel_mask[:, :, 0], pixel_mask[:, 0, :]
    return tuple(library.sum(library.where(line, 1, 0), axis=1) for line in lines)
