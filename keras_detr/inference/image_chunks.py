"""Read images of any kind, a few at a time."""

import logging
import pathlib

import keras

from keras_detr.inference.image_sources import find_images
from keras_detr.preprocessing.image_reading import read_image

logger = logging.getLogger("keras_detr")

# Images that are read before they are predicted: enough for batches of images of similar size.
_CHUNK_IMAGES = 64
_CHUNK_PIXELS = 40_000_000
_LEAST_IMAGES_WITH_PROGRESS = 20


def image_chunks(images, exif, verbose):
    """Yield images in their order, a few at a time, and show how many are done.

    Arguments and errors are those of `keras_detr.detect`.

    Yields:
        lists of tuples: the path of a file and `None` for an array, the pixels, and the error of a
        file that can't be read, which is logged.
    """
    sources = find_images(images, exif=exif)
    if not sources:
        raise ValueError("`images` must hold at least one image. Received an empty list.")
    is_shown = len(sources) >= _LEAST_IMAGES_WITH_PROGRESS if verbose == "auto" else bool(verbose)
    progress = keras.utils.Progbar(len(sources), verbose=int(is_shown), unit_name="image")
    chunk = []
    for source in sources:
        chunk.append(_read(source, exif))
        pixels = sum(image.size // 3 for _, image, _ in chunk if image is not None)
        if len(chunk) == _CHUNK_IMAGES or pixels >= _CHUNK_PIXELS:
            yield chunk
            progress.add(len(chunk))
            chunk = []
    if chunk:
        yield chunk
        progress.add(len(chunk))


def _read(source, exif):
    if not isinstance(source, pathlib.Path):
        return None, source, None
    try:
        return source, read_image(source, exif=exif), None
    except ValueError as error:
        logger.warning("%s", error)
        return source, None, str(error)
