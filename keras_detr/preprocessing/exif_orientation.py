"""The EXIF tag that says how a stored image is turned to be displayed.

The values 2 to 8 stand for the mirror images and quarter turns. With `exif="apply"` images are read
as they are displayed, with "ignore" as they are stored.
"""

import os
import struct

import numpy as np
from PIL import ExifTags, Image

_ORIENTATION = ExifTags.Base.Orientation
# By the tag's value: whether rows and columns are exchanged, and whether rows and then columns
# are reversed after that.
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
# The tags that undo each other; the others undo themselves.
_OPPOSITE = {6: 8, 8: 6}
_PNG_TAGS = (b"Raw profile type exif", b"XML:com.adobe.xmp")


def check_exif(exif):
    """Raise a ValueError if the argument `exif` is neither "apply" nor "ignore"."""
    if exif not in ("apply", "ignore"):
        raise ValueError(f"`exif` must be 'apply' or 'ignore'. Received: {exif!r}.")


def orientation_of(picture):
    """Return the tag of a `PIL.Image.Image`: an int in 1..8, and 1 where it has none.

    Pixels are decoded only where the tag follows those of a PNG file.
    """
    try:
        # PIL's method for PNG decodes every file without a tag.
        is_read = picture.format != "PNG" or picture.fp is None or _tag_follows(picture.fp)
        tags = picture.getexif() if is_read else Image.Image.getexif(picture)
        orientation = tags.get(_ORIENTATION)
        return int(orientation) if orientation in _TURNS else 1
    except Exception:  # Damaged tags raise errors of any kind, and viewers leave them aside.
        return 1


def _tag_follows(file):
    """Return whether the tag may be in a chunk after the pixels of a PNG file."""
    position, follows_pixels = file.tell(), False
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            text = file.read(min(length, len(_PNG_TAGS[0])))
            if follows_pixels and (kind == b"eXIf" or text.startswith(_PNG_TAGS)):
                return True
            follows_pixels |= kind == b"IDAT"
            file.seek(length + 4 - len(text), os.SEEK_CUR)
        return False
    finally:
        file.seek(position)


def stored_size(picture, orientation):
    """Return the (height, width) of a PIL image whose pixels aren't decoded, as it is stored."""
    width, height = picture.size
    return turned_size((height, width), orientation if _is_turned_by_pil(picture) else 1)


def oriented_pixels(picture, pixels, orientation, *, is_turned):
    """Return the pixels (height, width, channels) of a PIL image as displayed, or as stored."""
    if _is_turned_by_pil(picture):
        orientation = 1 if is_turned else _OPPOSITE.get(orientation, orientation)
    elif not is_turned:
        orientation = 1
    return turned_pixels(pixels, orientation)


def turned_pixels(pixels, orientation):
    """Return the pixels (height, width, ...) of a stored image, or of its mask, as displayed."""
    if orientation == 1:
        return pixels
    is_exchanged, *is_reversed = _TURNS[orientation]
    rows, columns = (slice(None, None, -1 if reverse else 1) for reverse in is_reversed)
    return np.ascontiguousarray((pixels.swapaxes(0, 1) if is_exchanged else pixels)[rows, columns])


def _is_turned_by_pil(picture):
    return picture.format == "TIFF"


def turned_size(size, orientation):
    """Return the (height, width) that an image of a stored size is displayed in, and back."""
    return tuple(size)[::-1] if _TURNS[orientation][0] else tuple(size)


def turned_corners(corners, sizes, orientation):
    """Return boxes (N, 4), xyxy in pixels of stored images, in images of displayed `sizes` (N, 2).

    `sizes` are (height, width).
    """
    is_exchanged, *is_reversed = _TURNS[orientation]
    corners = corners[:, [1, 0, 3, 2]] if is_exchanged else corners.copy()
    for reverse, axis in zip(is_reversed, (1, 0), strict=True):
        if reverse:
            ends = corners[:, [axis + 2, axis]]
            corners[:, [axis, axis + 2]] = sizes[:, [1 - axis]] - ends
    return corners
