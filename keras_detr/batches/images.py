"""What makes an image wrong: a raw one its shape, one of a batch a value that is no number."""

import keras
import numpy as np

from keras_detr.batches.image_ids import id_in_brackets
from keras_detr.batches.shapes import check_numbers
from keras_detr.ops.numpy_arrays import to_numpy


def raw_images(images, argument="images"):
    """Return raw images as a list of NumPy arrays (height, width, 3).

    Args:
        images: list of arrays (height, width, 3) of any sizes; an array (height, width, 3) or
            (batch, height, width, 3).
        argument: str, the name of the caller's argument, for errors.

    Raises:
        ValueError: an image has another shape or isn't of numbers, or there is none.
    """
    if len(getattr(images, "shape", ())) == 3:
        images = images[None]
    images = [to_numpy(image) for image in images]
    if not images:
        raise ValueError(f"`{argument}` must hold at least one image. Received none.")
    for index, image in enumerate(images):
        if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
            raise ValueError(
                f"`{argument}` must hold arrays (height, width, 3), RGB in 0..255. Received: the "
                f"shape {image.shape} for image {index}. `model.detect` takes grey and "
                "transparent images too."
            )
        check_numbers(image, f"{argument}[{index}]")
    return images


def check_images(images, image_ids=None, image_range=None, pixel_mask=None):
    """Check that images are finite, and report values and padding that a model doesn't take.

    Args:
        images: NumPy array or tensor of the backend, (batch, height, width, 3). What lies on
            another device than the processor stays there.
        image_ids: (batch,), by which the message names images, or `None`.
        image_range: `ImageRange` that reports these, or `None`.
        pixel_mask: anything, or `None` if there is none.

    Raises:
        ValueError: an image holds NaN or infinity; the message says which.
    """
    for index, is_finite in enumerate(_are_finite(images)):
        if not is_finite:
            raise ValueError(
                f"`images` must be finite. Image {index} of the batch"
                f"{id_in_brackets(index, image_ids)} holds NaN or infinity."
            )
    if image_range is not None:
        image_range.report(images, image_ids, pixel_mask)


def _are_finite(images):
    """Return whether each image is finite, bool (batch,)."""
    if "float" not in keras.backend.standardize_dtype(images.dtype):
        return np.ones(images.shape[0], bool)
    library = keras.ops if keras.ops.is_tensor(images) else np
    # A sum reads all values once and needs no memory. It isn't finite if one value isn't. Where
    # large values overflow it, each is looked at.
    with np.errstate(over="ignore", invalid="ignore"):
        are_finite = to_numpy(library.isfinite(library.sum(images, axis=(1, 2, 3))))
    if not are_finite.all():
        are_finite = to_numpy(library.all(library.isfinite(images), axis=(1, 2, 3)))
    return are_finite
