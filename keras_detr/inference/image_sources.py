"""Read images as RGB arrays: files of any kind, folders, and arrays of any depth."""

import os
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from keras_detr.batches.arrays import to_numpy
from keras_detr.batches.image_range import check_raw_range
from keras_detr.preprocessing.image_reading import (
    IMAGE_SUFFIXES,
    read_image,
    rgb_of_array,
    rgb_of_picture,
)


class ImageSource(NamedTuple):
    """Hold an image that is read later.

    Attributes:
        path: `pathlib.Path`, or `None` for an array.
        pixels: uint8 (height, width, 3), or `None` for a file.
    """

    path: pathlib.Path | None
    pixels: np.ndarray | None

    def read(self):
        """Return the upright image, uint8 (height, width, 3) RGB.

        Raises:
            ValueError: the image can't be read; the message names the file and the reason.
        """
        return read_image(self.path) if self.pixels is None else self.pixels


def find_images(images):
    """List images, without reading files.

    Args:
        images: path of an image file or of a folder of them; array or `PIL.Image.Image`; batch of
            arrays; or a sequence of these, mixed.

    Returns:
        list of `ImageSource`; the files of a folder in the order of their names.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: `images` has another type, a folder holds no images, or the values of an array
            aren't those of an image.
    """
    if isinstance(images, (str, os.PathLike)):
        return _sources_of_path(pathlib.Path(images))
    if isinstance(images, Image.Image):
        return [ImageSource(None, rgb_of_picture(images))]
    if isinstance(images, (list, tuple)):
        return [source for image in images for source in find_images(image)]
    array = to_numpy(images)
    arrays = array if array.ndim == 4 else [array]
    for array in arrays:
        check_raw_range(array)
    return [ImageSource(None, rgb_of_array(array)) for array in arrays]


def _sources_of_path(path):
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise ValueError(
                f"`images`: the folder {str(path)!r} holds no images, that is files that end in "
                f"{', '.join(IMAGE_SUFFIXES)}."
            )
        return [ImageSource(file, None) for file in files]
    if not path.exists():
        raise FileNotFoundError(f"`images`: there is no file or folder {str(path)!r}.")
    return [ImageSource(path, None)]
