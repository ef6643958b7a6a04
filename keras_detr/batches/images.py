"""What makes an image wrong: a value that is no number."""

import numpy as np

from keras_detr.batches.image_ids import id_in_brackets


def check_images(images, image_ids=None):
    """Check that images are finite.

    Args:
        images: NumPy array (batch, height, width, 3).
        image_ids: (batch,), by which the message names images, or `None`.

    Raises:
        ValueError: an image holds NaN or infinity; the message says which.
    """
    for index, image in enumerate(images):
        if not _is_finite(image):
            raise ValueError(
                f"`images` must be finite. Image {index} of the batch"
                f"{id_in_brackets(index, image_ids)} holds NaN or infinity."
            )


def _is_finite(image):
    if np.issubdtype(image.dtype, np.integer) or image.dtype == bool:
        return True
    # A sum reads all values once and needs no memory. It isn't finite if one value isn't. Where
    # large values overflow it, each is looked at.
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.sum(image, dtype=np.float32 if image.dtype.itemsize < 4 else None)
    return bool(np.isfinite(total) or np.isfinite(image).all())
