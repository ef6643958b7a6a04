"""Find images that are padded, where no mask says so."""

import numpy as np

# Of a side. An image that is nearly square has less padding on a square canvas.
_LEAST_BAND = 1 / 16
# Padding is at the end, or on both sides where the image is in the middle. A picture of one thing
# on a plain ground has bands all around.
_PADDED_SIDES = ({"bottom"}, {"right"}, {"bottom", "right"}, {"top", "bottom"}, {"left", "right"})


def padding_problem(images, batch):
    """Return what is wrong with most images of a batch without a mask being padded, or `None`.

    Args:
        images: NumPy array (batch, height, width, 3).
        batch: str, what to call them.
    """
    num_padded = sum(map(_is_padded, images))
    if num_padded <= len(images) / 2:
        return None
    return (
        f"{num_padded} of {len(images)} images of {batch} end in a band of one colour, as padded "
        "ones do, and there is no 'pixel_mask': the model takes padding for image. Resize with "
        "`ResizeShortestSide` and pad with `PadToCanvas` or `bucketed_batches` of "
        "`keras_detr.preprocessing`, which add the mask; if the pictures are like that, all is "
        "well."
    )


def _is_padded(image):
    """Return whether an image (height, width, 3) has bands of exactly one colour where padding is.

    Its last pixel has their colour.
    """
    rows, columns = (max(2, round(side * _LEAST_BAND)) for side in image.shape[:2])
    bands = {
        "bottom": image[-rows:],
        "right": image[:, -columns:],
        "top": image[:rows],
        "left": image[:, :columns],
    }
    return {side for side, band in bands.items() if np.all(band == image[-1, -1])} in _PADDED_SIDES
