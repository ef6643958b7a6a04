"""Report images whose values aren't those that a model takes."""

import logging

import numpy as np

logger = logging.getLogger("keras_detr")

# Images in 0..1 reach over 1 where they were resized, and normalized ones about 2.7. Of whole
# numbers only 0 and 1 are suspicious: a dark photo has others.
_LARGEST_SCALED = 3
# Images in 0..255 reach over 255 where they were resized; of 10 bits and more they go far beyond.
_LARGEST_RAW = 2 * 255
_NUM_PIXELS = 64


class ImageRange:
    """Log once that the images of a batch have other values than a model takes.

    Args:
        takes_raw_images: bool, whether the model takes 0..255 RGB; `None` if nobody knows. See
            `takes_raw_images`.
        is_first_only: bool, whether only the first batch is looked at.
    """

    def __init__(self, takes_raw_images, is_first_only=True):
        self._takes_raw_images = takes_raw_images
        self._is_first_only = is_first_only
        self._is_done = takes_raw_images is None

    def report(self, images, image_ids=None):
        """Log what is wrong with the values of images, unless it was logged before.

        Args:
            images: NumPy array (batch, height, width, 3).
            image_ids: (batch,), or `None`.
        """
        if self._is_done:
            return
        # Some pixels of every image say enough.
        height, width = (max(1, side // _NUM_PIXELS) for side in images.shape[1:3])
        largest = float(np.max(images[:, ::height, ::width]))
        problem = _problem(largest, images.dtype, self._takes_raw_images)
        self._is_done = self._is_first_only or problem is not None
        if problem is not None:
            ids = "" if image_ids is None else f" (image_id {image_ids[0]} and others)"
            logger.warning(
                "`images`: the values of a batch%s go up to %g, and %s This line comes once.",
                ids,
                largest,
                problem,
            )


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


def check_raw_range(image):
    """Check an array that becomes whole numbers in 0..255, where a scaled one would be black.

    Args:
        image: NumPy array (height, width, ...), 0..255, or uint16 in 0..65535.

    Raises:
        ValueError: it holds fractions in 0..1; or it is uint16 and goes no further than 255.
    """
    largest = np.max(image, initial=0)
    if image.dtype.kind == "f" and 0 < largest <= 1 and (image != np.round(image)).any():
        raise ValueError(
            "`images`: an array must hold numbers in 0..255, and all of this one are in 0..1: it "
            f"would be a black picture. Multiply it by 255. Received values up to {largest}."
        )
    if image.dtype == np.uint16 and 0 < largest <= 255:
        raise ValueError(
            "`images`: an array of uint16 is read as 0..65535, and this one would be a black "
            f"picture. Pass `array.astype('uint8')`. Received values up to {largest}."
        )


def _problem(largest, dtype, takes_raw):
    is_scaled = 0 < largest <= (_LARGEST_SCALED if dtype.kind not in "iu" else 1)
    if takes_raw and is_scaled:
        return (
            "the model takes 0..255: it sees black pictures. Leave out the division by 255 or the "
            "normalization before the model, which does it itself; if the pictures are that dark, "
            "all is well."
        )
    if takes_raw and largest > _LARGEST_RAW:
        return (
            "the model takes 0..255: it sees white pictures. Divide images of 16 bits by 257; "
            "`keras_detr.detect` does so."
        )
    if not takes_raw and largest > _LARGEST_SCALED * 10:
        return (
            "the backbone has `include_rescaling=False`: it takes images that are scaled or "
            "normalized as for its training. Do that before the model."
        )
    return None
