"""Images of every kind as RGB: files, pictures of PIL, arrays. TensorFlow isn't needed."""

import contextlib
import os

import numpy as np
from PIL import Image

from keras_detr.checkpoints.files.regular_files import check_regular
from keras_detr.ops.printable_text import printable
from keras_detr.preprocessing.exif_orientation import (
    check_exif,
    orientation_of,
    oriented_pixels,
)

# The formats that are read, and how their files' names end. PIL knows more, among them formats that
# start other programs to be read.
FORMATS = {
    "AVIF": (".avif",),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "JPEG": (".jfif", ".jpe", ".jpeg", ".jpg", ".mpo"),
    "JPEG2000": (".jp2", ".jpeg2000"),
    "PNG": (".png",),
    "PPM": (".pbm", ".pgm", ".pnm", ".ppm"),
    "TIFF": (".dng", ".tif", ".tiff"),
    "WEBP": (".webp",),
    # These need a plugin of PIL.
    "HEIF": (".heic", ".heif"),
    "JXL": (".jxl",),
}
# What looks like an image in a folder: it is read, or said to be unreadable, as TGA is.
IMAGE_SUFFIXES = (*sorted(suffix for suffixes in FORMATS.values() for suffix in suffixes), ".tga")
# 65535 = 257 * 255.
_FROM_16_BIT = 257
_BLACK = (
    "its pixels are of 16 bits and none is above 255, so it would be a black picture; save it with "
    "8 bits a channel"
)


def read_image(path: str | os.PathLike[str], *, exif: str = "apply") -> np.ndarray:
    """Read an image file as uint8 (height, width, 3), RGB.

    16 bits become 8, grey and CMYK become RGB, transparency is left aside, and an animation gives
    its first frame, without reading the others.

    Args:
        path: str or path-like.
        exif: "apply" turns the image as its EXIF tag says, so that it is upright; "ignore" takes it
            as it is stored.

    Raises:
        ValueError: it is no image that can be read; the message names the file and says why. Or
            `exif` is another word.

    Example:
        ```python
        from keras_detr.inference import read_image

        print(read_image("photo.png").shape)  # (height, width, 3)
        ```
    """
    check_exif(exif)
    with opened_picture(path) as picture:
        return rgb_of_picture(picture, is_turned=exif == "apply")


@contextlib.contextmanager
def opened_picture(path):
    """Open an image file for a `with` statement, without decoding its pixels.

    Args:
        path: str or path-like.

    Yields:
        `PIL.Image.Image`.

    Raises:
        ValueError: it is no image that can be read, or anything was raised in the body of the
            statement, where the pixels are decoded; the message names the file and says why.
    """
    try:
        check_regular(path)
        formats = known_formats()
        with Image.open(path, formats=formats) as picture:
            check_picture(picture)
            yield picture
    except Exception as error:  # A decoder may stumble over a broken file in any way.
        reason = str(error) or type(error).__name__
        if isinstance(error, Image.UnidentifiedImageError):
            reason = f"cannot identify it as one of {', '.join(formats)}"
        elif isinstance(error, Image.DecompressionBombError):
            reason = (
                f"{reason} Make it smaller, or raise `PIL.Image.MAX_IMAGE_PIXELS` if you trust it"
            )
        name = printable(os.fsdecode(path))
        raise ValueError(f"{name} can't be read: {printable(reason)}") from error


def known_formats():
    """Return those of `FORMATS` that are installed, as a list of str."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def check_picture(picture):
    """Raise a ValueError if a picture of PIL can't become RGB; its pixels aren't decoded.

    It can't if it has no pixels, or if they are real numbers, whose range nobody knows.
    """
    if min(picture.size) < 1:
        raise ValueError("{}x{} pixels".format(*picture.size))
    if picture.mode == "F":
        raise ValueError("its pixels are real numbers; save it with 8 or 16 bits a channel")


def rgb_of_picture(picture, *, is_turned=True):
    """Return a PIL image as uint8 (height, width, 3).

    Args:
        picture: `PIL.Image.Image`.
        is_turned: bool, whether it is turned as its EXIF tag says.

    Raises:
        ValueError: it can't become RGB; see `check_picture`.
    """
    check_picture(picture)
    # PIL keeps the upper 8 bits of colors. After decoding it neither says that there were 16, nor
    # always has the tag.
    has_16_bits = any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ()))
    orientation = orientation_of(picture)
    pixels = oriented_pixels(picture, _rgb(picture), orientation, is_turned=is_turned)
    if has_16_bits and not picture.mode.startswith("I") and not pixels.any():
        raise ValueError(_BLACK)
    return pixels


def _rgb(picture):
    if picture.mode.startswith("I"):
        # PIL would clip them.
        values = np.asarray(picture).astype("int64").clip(0, 65535)
        if 0 < values.max() <= 255:
            raise ValueError(_BLACK)
        return rgb_of_array(values.astype("uint16"))
    if picture.mode == "RGB":
        # A copy would hold a large image twice.
        return np.asarray(picture)
    # PIL warns where a palette would lose its transparency.
    mode = "RGBA" if "transparency" in picture.info else "RGB"
    return np.ascontiguousarray(np.asarray(picture.convert(mode))[..., :3])


def rgb_of_array(array):
    """Return an array as uint8 (height, width, 3).

    Args:
        array: (height, width), or (height, width, channels) with 1, 3 or 4 channels; uint8,
            uint16, or other numbers in 0..255. A fourth channel, transparency, is left aside.

    Raises:
        ValueError: it has another shape or type, no pixels, or values outside of 0..255.
    """
    channels = array.shape[2] if array.ndim == 3 else 1
    is_image = array.ndim in (2, 3) and channels in (1, 3, 4) and 0 not in array.shape
    if array.dtype.kind not in "uif" or not is_image:
        raise ValueError(
            "`images`: an array must be (height, width), or (height, width, channels) with 1, 3 or "
            f"4 channels, of numbers. Received shape {array.shape}, {array.dtype}."
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
