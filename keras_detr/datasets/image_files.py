"""Image files: which are there, how large they are, and their pixels."""

import os
import pathlib
from typing import NamedTuple

import tensorflow as tf
from PIL import Image

# What a data set's folder may hold beside images has other endings.
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
# By PIL's names: what TensorFlow decodes to the pixels PIL gives.
_FORMATS = ("BMP", "GIF", "JPEG", "MPO", "PNG", "WEBP")
_BMP_MODES = ("L", "RGB")
_ORIENTATION = 274
_ORIENTATIONS_ON_THE_SIDE = (5, 6, 7, 8)


class Header(NamedTuple):
    """Hold what an image file says about itself.

    Attributes:
        size: pair of int (height, width) of the pixels as they are stored.
        is_on_its_side: bool, whether the EXIF tag asks to show it turned by a quarter.
        complaint: str, why the file can't be used; empty if it can.
    """

    size: tuple[int, int]
    is_on_its_side: bool
    complaint: str


def existing_files(paths):
    """Tell which files exist, looking once into each folder.

    Args:
        paths: list of str.

    Returns:
        list of bool.
    """
    names_by_folder = {}
    found = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in names_by_folder:
            names_by_folder[folder] = file_names(folder)
        found.append(name in names_by_folder[folder])
    return found


def file_names(folder):
    """Return the set of the names of files in a folder, empty where there is no such folder."""
    try:
        with os.scandir(folder or ".") as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (OSError, ValueError):  # ValueError: a name that no file system holds.
        return set()


def checked_folder(folder, argument):
    """Return a folder as a path.

    Args:
        folder: str or path-like.
        argument: str, the name of the caller's argument, for the error.

    Raises:
        ValueError: it isn't a path.
        FileNotFoundError: there is no such folder.
    """
    if not isinstance(folder, (str, os.PathLike)):
        raise ValueError(f"`{argument}` must be the path of a folder. Received: {folder!r}.")
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"`{argument}`: there is no folder {str(folder)!r}. Pass the path of an existing one."
        )
    return folder


def read_header(path):
    """Read the size of an image without its pixels.

    Args:
        path: str.

    Returns:
        `Header`.
    """
    try:
        with Image.open(path) as image:
            (width, height), mode = image.size, image.mode
            is_on_its_side = image.getexif().get(_ORIENTATION) in _ORIENTATIONS_ON_THE_SIDE
            image_format = image.format
    except Exception as error:  # A decoder may stumble over a broken file in any way.
        return Header((0, 0), False, f"{path}: {error or type(error).__name__}")
    complaint = ""
    if min(height, width) < 1:
        complaint = f"{path}: {width}x{height} pixels"
    elif image_format not in _FORMATS or (image_format == "BMP" and mode not in _BMP_MODES):
        complaint = f"{path}: {image_format} of mode {mode}; convert it to PNG or JPEG"
    return Header((height, width), is_on_its_side, complaint)


def decode_image(contents):
    """Decode an image file to RGB, as PIL does.

    Transparency is left aside, grey becomes RGB, an animation gives its first frame, and the
    EXIF tag for the orientation isn't applied.

    Args:
        contents: str scalar tensor, the bytes of the file.

    Returns:
        uint8 (height, width, 3).
    """
    pixels = tf.cond(
        tf.io.is_jpeg(contents),
        # TensorFlow's faster default is a grey level off PIL.
        lambda: tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(contents, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(pixels, (None, None, 3))
