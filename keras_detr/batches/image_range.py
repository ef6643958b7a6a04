"""Report images whose values or padding aren't what a model takes."""

import logging

import numpy as np

from keras_detr.batches.padded_images import padding_problem
from keras_detr.ops.numpy_arrays import to_numpy

logger = logging.getLogger("keras_detr")

# Images in 0..1 reach over 1 where they were resized, and normalized ones about 2.7. Of whole
# numbers only 0 and 1 are suspicious: a dark photo has others.
_LARGEST_SCALED = 3
# Images in 0..255 reach over 255 where they were resized; of 10 bits and more they go far beyond.
_LARGEST_RAW = 2 * 255
_NUM_PIXELS = 64


class ImageRange:
    """Log once that the images of a batch have other values than a model takes, or are padded.

    Args:
        takes_raw_images: bool, whether the model takes 0..255 RGB; `None` if nobody knows. See
            `takes_raw_images`.
        is_first_only: bool, whether only the first batch is looked at.

    Example:
        ```python
        import numpy as np
        from keras_detr.batches import ImageRange, check_inputs

        images = np.random.default_rng(0).uniform(0, 1, (1, 32, 32, 3))
        # Logs that the model sees black pictures.
        check_inputs(images, ImageRange(takes_raw_images=True))
        ```
    """

    def __init__(self, takes_raw_images: bool | None, is_first_only: bool = True) -> None:
        self._takes_raw_images = takes_raw_images
        self._is_first_only = is_first_only
        self._is_mask_missed = False
        self._is_range_open = takes_raw_images is not None

    def report(self, images, image_ids=None, pixel_mask=None):
        """Log what is wrong with images, unless it was logged before.

        Args:
            images: NumPy array or tensor of the backend, (batch, height, width, 3).
            image_ids: (batch,), or `None`.
            pixel_mask: anything, or `None` if there is none.
        """
        batch = "a batch"
        if image_ids is not None:
            batch = f"a batch (image_id {image_ids[0]} and others)"
        problems = []
        if pixel_mask is None and not self._is_mask_missed:
            problems.append(padding_problem(to_numpy(images), batch))
            self._is_mask_missed = True
        if self._is_range_open:
            # Some pixels of every image say enough.
            height, width = (max(1, side // _NUM_PIXELS) for side in images.shape[1:3])
            pixels = to_numpy(images[:, ::height, ::width])
            problems.append(_range_problem(self._takes_raw_images, pixels, batch))
            self._is_range_open = not self._is_first_only and problems[-1] is None
        for problem in filter(None, problems):
            logger.warning("`images`: %s This line comes once.", problem)


def image_range_of(model, is_first_only=True):
    """Return the `ImageRange` that knows what a model's backbone takes, if it has one."""
    return ImageRange(takes_raw_images(getattr(model, "backbone", None)), is_first_only)


def takes_raw_images(backbone):
    """Return whether a backbone takes 0..255 RGB and normalizes it, `None` if it doesn't say.

    A backbone says so with `include_rescaling`, or with a layer that rescales.

    Args:
        backbone: of KerasCV, KerasHub, `keras.applications` or keras_detr.
    """
    includes = getattr(backbone, "include_rescaling", None)
    if includes is not None:
        return bool(includes)
    kinds = {type(layer).__name__ for layer in getattr(backbone, "layers", ())}
    return True if kinds & {"Rescaling", "Normalization"} else None


def check_scaled(image):
    """Raise a ValueError if an array (height, width, ...) holds fractions in 0..1, not 0..255."""
    largest = np.max(image, initial=0)
    if image.dtype.kind == "f" and 0 < largest <= 1 and (image != np.round(image)).any():
        raise ValueError(
            "`images`: an array must hold numbers in 0..255, and all of this one are in 0..1: it "
            f"would be a black picture. Multiply it by 255. Received values up to {largest}."
        )


def check_raw_range(image):
    """Check an array that becomes whole numbers in 0..255, where a scaled one would be black.

    Args:
        image: NumPy array (height, width, ...), 0..255, or uint16 in 0..65535.

    Raises:
        ValueError: it holds fractions in 0..1; or it is uint16 and goes no further than 255.
    """
    check_scaled(image)
    largest = np.max(image, initial=0)
    if image.dtype == np.uint16 and 0 < largest <= 255:
        raise ValueError(
            "`images`: an array of uint16 is read as 0..65535, and this one would be a black "
            f"picture. Pass `array.astype('uint8')`. Received values up to {largest}."
        )


def _range_problem(takes_raw, pixels, batch):
    """Return what is wrong with the values of some pixels of a `batch`, or `None`."""
    largest = float(np.max(pixels))
    is_scaled = 0 < largest <= (_LARGEST_SCALED if pixels.dtype.kind not in "iu" else 1)
    values = f"the values of {batch} go up to {largest:g}, and"
    if takes_raw and is_scaled:
        return (
            f"{values} the model takes 0..255: it sees black pictures. Leave out the division by "
            "255 or the normalization before the model, which does it itself; if the pictures are "
            "that dark, all is well."
        )
    if takes_raw and largest > _LARGEST_RAW:
        return (
            f"{values} the model takes 0..255: it sees white pictures. Divide images of 16 bits "
            "by 257; `model.detect` does so."
        )
    if not takes_raw and largest > _LARGEST_SCALED * 10:
        return (
            f"{values} the backbone has `include_rescaling=False`: it takes images that are scaled "
            "or normalized as for its training. Do that before the model."
        )
    return None
