"""Image files: which are there, how large they are, and their pixels."""

import os
import pathlib
from typing import NamedTuple

import tensorflow as tf

from keras_detr.preprocessing.image_reading import opened_picture, orientation_of, rgb_of_picture

# Larger images are left to PIL, which knows how large its user allows them to be.
_MOST_PIXELS = 80_000_000
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIXTEEN_BITS = b"\x10"
_ORIENTATIONS_ON_THE_SIDE = (5, 6, 7, 8)


class Header(NamedTuple):
    """Hold what an image file says about itself.

    Attributes:
        size: pair of int (height, width) of the pixels as they are stored.
        complaint: str, why the file can't be used; empty if it can.
    """

    size: tuple[int, int]
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


def read_header(path, *, is_decoded=False):
    """Read the size of an image without its pixels.

    Args:
        path: str.
        is_decoded: bool, whether its pixels are decoded too, to see that they can be.

    Returns:
        `Header`.
    """
    try:
        with opened_picture(path) as picture:
            if is_decoded:
                rgb_of_picture(picture, is_turned=False)
            width, height = picture.size
    except ValueError as error:
        return Header((0, 0), str(error))
    return Header((height, width), "")


def is_on_its_side(path):
    """Return whether the EXIF tag of an image file asks to show it turned by a quarter.

    Args:
        path: str.
    """
    try:
        with opened_picture(path) as picture:
            return orientation_of(picture) in _ORIENTATIONS_ON_THE_SIDE
    except ValueError:  # In PNG the tag may come after pixels that are broken.
        return False


def decode_image(path, decode_otherwise):
    """Decode an image file to RGB, with its EXIF tag for the orientation not applied.

    TensorFlow decodes JPEG and PNG, which neither waits for Python nor holds an image twice. It
    can't say which file is broken, so what it fails at is left to another function.

    Args:
        path: str scalar tensor.
        decode_otherwise: function of a path, a tensor, to pixels and a text, tensors too: what is
            returned for other files. TensorFlow's own files have no text.

    Returns:
        uint8 (height, width, 3) and str scalar.
    """

    def decode_other(path):
        return attempted(_decode_plain_png, decode_otherwise, path)

    return attempted(_decode_plain_jpeg, decode_other, path)


def attempted(function, otherwise, value):
    """Return what a function gives, or where it fails, what another gives, in a graph.

    Args:
        function: function of `value` to a structure of tensors.
        otherwise: function of `value` to the same structure.
        value: tensor.
    """
    # Only a data set goes on after an error. The second is asked for what the first doesn't give.
    values = tf.data.Dataset.from_tensors(value)
    given = values.map(function).ignore_errors(log_warning=False)
    return given.concatenate(values.map(otherwise)).take(1).get_single_element()


def _decode_plain_jpeg(path):
    """Decode a JPEG file of which TensorFlow and PIL give the same pixels, or fail."""
    content = _read_file(path, "jpe?g")
    height, width, channels = tf.unstack(tf.io.extract_jpeg_shape(content, tf.int64))
    # Four channels are CMYK.
    is_plain = (channels != 4) & (height * width <= _MOST_PIXELS)
    return decode_jpeg(_if(is_plain, content)), tf.constant("")


def _decode_plain_png(path):
    """Decode a PNG file of which TensorFlow and PIL give the same pixels, or fail."""
    content = _read_file(path, "png")
    # The header is a signature, 8 bytes more, width, height, and the bits of a channel.
    sides = tf.io.decode_raw(tf.strings.substr(content, 16, 8), tf.int32, little_endian=False)
    is_plain = (
        (tf.strings.substr(content, 0, 8) == _PNG_SIGNATURE)
        & (tf.strings.substr(content, 24, 1) != _SIXTEEN_BITS)
        & (tf.reduce_prod(tf.cast(sides, tf.int64)) <= _MOST_PIXELS)
    )
    pixels = tf.io.decode_png(_if(is_plain, content), channels=3)
    return tf.ensure_shape(pixels, (None, None, 3)), tf.constant("")


def _read_file(path, suffix):
    """Read a file, or fail where its name ends otherwise: PIL needn't read it all."""
    return tf.io.read_file(_if(tf.strings.regex_full_match(path, rf"(?is).*\.{suffix}"), path))


def _if(condition, value):
    """Return a value, or fail without a message, which nobody would see."""
    with tf.control_dependencies([tf.raw_ops.Assert(condition=condition, data=[""])]):
        return tf.identity(value)


def decode_jpeg(content):
    """Decode the bytes of a JPEG file, a str scalar tensor, to uint8 (height, width, 3)."""
    # TensorFlow's faster default is a grey level off PIL, with which the original weights were
    # trained and scored.
    pixels = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(pixels, (None, None, 3))
