"""Images as people have them, as RGB arrays: files of any kind, folders, arrays of any depth."""

import os
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# 65535 = 257 * 255.
_FROM_16_BIT = 257
_ORIENTATION = ExifTags.Base.Orientation


class ImageSource(NamedTuple):
    """Hold one image that hasn't been read.

    Attributes:
        path: `pathlib.Path`, or `None` for an array.
        pixels: uint8 (height, width, 3), or `None` for a file.
    """

    path: pathlib.Path | None
    pixels: np.ndarray | None

    def read(self):
        """Return uint8 (height, width, 3), RGB, the right way up.

        Raises:
            ValueError: it is no image that can be read; the message says why.
        """
        return read_image(self.path) if self.pixels is None else self.pixels


def read_image(path):
    """Read an image file as uint8 (height, width, 3), RGB, the right way up.

    16 bits become 8, grey and CMYK become RGB, transparency is left aside, and an animation gives
    its first frame.

    Args:
        path: str or path-like.

    Raises:
        ValueError: it is no image that can be read; the message says why.
    """
    try:
        with Image.open(path) as picture:
            return rgb_of_picture(picture)
    except Exception as error:  # A decoder may stumble over a broken file in any way.
        raise ValueError(f"{error or type(error).__name__}") from error


def find_images(images):
    """List images, without reading files.

    Args:
        images: path of an image file or of a folder of them; array or `PIL.Image.Image`; batch of
            arrays; or a sequence of these, mixed.

    Returns:
        list of `ImageSource`; the files of a folder in the order of their names.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it is nothing of these, a folder holds no images, or the values of an array
            are no image's.
    """
    if isinstance(images, (str, os.PathLike)):
        return _of_path(pathlib.Path(images))
    if isinstance(images, Image.Image):
        return [ImageSource(None, rgb_of_picture(images))]
    if isinstance(images, (list, tuple)):
        return [source for image in images for source in find_images(image)]
    array = np.asarray(images)
    if array.ndim == 4:
        return [ImageSource(None, rgb_of_array(image)) for image in array]
    return [ImageSource(None, rgb_of_array(array))]


def _of_path(path):
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


def rgb_of_picture(picture):
    """Return a PIL image as uint8 (height, width, 3).

    It is turned and reduced as `read_image` says.

    Args:
        picture: `PIL.Image.Image`.

    Raises:
        ValueError: its pixels are real numbers, whose range nobody knows.
    """
    if picture.mode == "F":
        raise ValueError("its pixels are real numbers; save it with 8 or 16 bits a channel")
    # What is right already stays as it is: copies would hold a large image three times.
    if picture.getexif().get(_ORIENTATION, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):
        # PIL would clip them.
        values = np.asarray(picture).astype("int64")
        return rgb_of_array(values.clip(0, 65535).astype("uint16"))
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def rgb_of_array(array):
    """Return an array as uint8 (height, width, 3).

    Args:
        array: (height, width), or (height, width, channels) with 1, 3 or 4 channels; uint8,
            uint16, or other numbers in 0..255. A fourth channel, transparency, is left aside.

    Raises:
        ValueError: it has another shape or type, no pixels, or values outside of 0..255.
    """
    if array.dtype.kind not in "uif" or array.ndim not in (2, 3) or 0 in array.shape:
        raise ValueError(
            "`images`: an array must be (height, width, 3), (height, width, 4), (height, width, 1) "
            f"or (height, width), of numbers. Received shape {array.shape}, {array.dtype}."
        )
    channels = array.shape[2] if array.ndim == 3 else 1
    if channels not in (1, 3, 4):
        raise ValueError(
            "`images`: an array must be (height, width, channels) with 1, 3 or 4 channels. "
            f"Received shape {array.shape}."
        )
    if array.dtype == np.uint16:
        array = (array.astype("float32") / _FROM_16_BIT).round()
    elif not np.isfinite(array).all() or array.min() < 0 or array.max() > 255:
        raise ValueError(
            "`images`: an array must hold numbers in 0..255, or be uint16. Received values from "
            f"{array.min()} to {array.max()}."
        )
    array = array.reshape(*array.shape[:2], channels)[..., :3]
    if array.dtype.kind == "f":
        array = array.round()
    return np.broadcast_to(array, (*array.shape[:2], 3)).astype("uint8")
