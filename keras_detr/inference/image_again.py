"""Find the image again of which something was found."""

import pathlib

from keras_detr.inference.image_sources import find_images
from keras_detr.preprocessing.image_reading import read_image


def image_again(found, image=None):
    """Return the image of `Detections` or `PanopticSegments`, uint8 (height, width, 3).

    Args:
        found: has `path`, `image_size`, `error` and `exif`.
        image: path, array or `PIL.Image.Image`; `None` to read the file again.

    Raises:
        ValueError: `image` is missing, is several images or has another size, or the file couldn't
            be read.
    """
    if found.error is not None:
        raise ValueError(f"There is nothing to draw: {found.error}.")
    if image is None and found.path is None:
        raise ValueError(
            "`image` is missing: results don't hold the array that they are of. Pass it again: "
            "`found.plot(image=image)`."
        )
    sources = find_images(found.path if image is None else image, exif=found.exif)
    if len(sources) != 1:
        raise ValueError(f"`image` must be a single image. Received: {len(sources)} images.")
    (pixels,) = sources
    if isinstance(pixels, pathlib.Path):
        pixels = read_image(pixels, exif=found.exif)
    if pixels.shape[:2] != tuple(found.image_size):
        raise ValueError(
            f"`image` must be the image that was passed to the model, of the size "
            f"{tuple(found.image_size)} (height, width). Received one of {pixels.shape[:2]}."
        )
    return pixels
