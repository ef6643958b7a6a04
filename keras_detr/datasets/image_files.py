"""Image files: which ones exist, their sizes, and their pixels."""

import functools
import os
import pathlib
import unicodedata
import urllib.parse

import tensorflow as tf

from keras_detr.preprocessing.exif_orientation import orientation_of, stored_size
from keras_detr.preprocessing.image_reading import IMAGE_SUFFIXES, opened_picture, rgb_of_picture

# PIL reads larger images, as it has a limit that users set.
_MOST_PIXELS = 80_000_000
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIXTEEN_BITS = b"\x10"
# In bytes. To look for the tag in it costs 4% of decoding a photo of 640x480 pixels, and less of a
# larger one; PIL reads files of longer headers.
_JPEG_HEADER = 40_000
# The EXIF tag of an image that is turned, in both byte orders, and its other name. PIL also reads
# files that hold one of them by chance.
_JPEG_TAG = (
    r"\C*(\x12\x01\C\x00\x01\x00\x00\x00[\x02-\x08]"
    r"|\x01\x12\x00\C\x00\x00\x00\x01\x00{1,3}[\x02-\x08]|tiff:Orientation(=.|>)[2-8])\C*"
)
_PNG_TAGS = ("eXIf", "Raw profile type exif", "XML:com.adobe.xmp")


def existing_files(paths):
    """Return which files of a list exist, as bools, listing each folder once."""
    names_in = functools.cache(file_names)
    return [name in names_in(folder) for folder, name in map(os.path.split, paths)]


def num_unlisted_images(paths):
    """Return how many image files lie beside those of a list, and aren't in it."""
    names_in = {}
    for folder, name in map(os.path.split, paths):
        names_in.setdefault(folder, set()).add(name)
    unlisted = (name for folder, names in names_in.items() for name in file_names(folder) - names)
    return sum(os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES for name in unlisted)


def file_names(folder):
    """Return the set of file names in a folder, which is empty if the folder doesn't exist."""
    try:
        with os.scandir(folder or ".") as entries:
            return {entry.name for entry in entries if _is_file(entry)}
    except (OSError, ValueError):  # ValueError: an invalid path.
        return set()


def _is_file(entry):
    try:
        return entry.is_file()
    except OSError:  # A link to itself.
        return False


def similar_files(paths):
    """Return for each missing file one that it may stand for, or `None`.

    Annotations that were written on another system differ by case, by how accents are composed, by
    backslashes, by "%20", by the suffix, or name folders that aren't there.
    """
    names_in = functools.cache(_names_by_folded_name)
    return [_similar_file(path, names_in) for path in paths]


def _names_by_folded_name(folder):
    """Return a dict to the names of a folder's files, from them and, for images, their stems."""
    names = sorted(file_names(folder))
    splits = [os.path.splitext(name) for name in names]
    stems = {_folded(stem): stem + end for stem, end in splits if end.lower() in IMAGE_SUFFIXES}
    return stems | {_folded(name): name for name in names}


def _similar_file(path, names_in):
    folder, name = os.path.split(urllib.parse.unquote(path.replace("\\", "/")))
    while True:
        names = names_in(folder)
        for key in (_folded(name), _folded(os.path.splitext(name)[0])):
            if key in names:
                return os.path.join(folder, names[key])
        above = os.path.dirname(folder)
        if above == folder or os.path.isdir(folder):
            return None
        folder = above


def _folded(name):
    return unicodedata.normalize("NFC", name).casefold()


def checked_folder(folder, argument):
    """Return a folder as a path, or raise an error that names the caller's `argument`."""
    if not isinstance(folder, (str, os.PathLike)):
        raise ValueError(f"`{argument}` must be the path of a folder. Received: {folder!r}.")
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"`{argument}`: there is no folder {str(folder)!r}. Pass the path of an existing one."
        )
    return folder


def path_inside(folder, name, outside_files, source):
    """Return the path of a file that another file names, relative to a folder.

    Args:
        folder: path.
        name: str, the file's name in the other file.
        outside_files: "allow" or "refuse" names that lead out of the folder. Links in the folder
            are followed either way.
        source: str or path, where the name stands, for the error.

    Raises:
        ValueError: the name leads out of the folder, and that is refused.
    """
    path = os.path.join(folder, name)
    if outside_files == "allow":
        return path
    if not is_inside(folder, path):
        raise ValueError(
            f"{source}: {name!r:.300} leads out of the folder {str(folder)!r}, and isn't read. "
            "Correct it; or pass `outside_files='allow'` if you trust the file and know what it "
            "names."
        )
    # After a link ".." would lead elsewhere.
    return os.path.normpath(path) if ".." in name else path


def is_inside(folder, path):
    """Return whether a path is in a folder by its name, whatever links lead to."""
    return pathlib.Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def read_header(path, *, is_decoded=False):
    """Read the size of an image file, and decode its pixels if asked to, to check that they can be.

    Returns:
        (height, width) of the pixels as they are stored; int, the orientation that its EXIF tag
        says, 1 without one; and str, why the file can't be used, empty if it can.
    """
    try:
        with opened_picture(path) as picture:
            orientation = orientation_of(picture)
            size = stored_size(picture, orientation)
            if is_decoded:
                rgb_of_picture(picture)
    except ValueError as error:
        return (0, 0), 1, str(error)
    return size, orientation, ""


def decode_image(path, fallback, *, may_turn):
    """Decode the image file at a path to RGB.

    TensorFlow decodes JPEG and PNG without Python's lock and without a second copy. It can't say
    which file is broken, so `fallback`, a function of the path that returns the same, handles the
    files that it can't decode. If `may_turn`, a bool, it also handles those that an EXIF tag turns.
    Other values are tensors.

    Returns:
        uint8 (height, width, 3), and str scalar, the error message or an empty one.
    """
    decode_png = functools.partial(_decode_plain_png, may_turn)

    def decode_other(path):
        return with_fallback(decode_png, fallback, path)

    return with_fallback(functools.partial(_decode_plain_jpeg, may_turn), decode_other, path)


def with_fallback(function, fallback, value):
    """Return the result of a function, or if it fails that of another one, in a graph."""
    # Only a data set continues after an error. The fallback runs if the first one has no result.
    values = tf.data.Dataset.from_tensors(value)
    results = values.map(function).ignore_errors(log_warning=False)
    return results.concatenate(values.map(fallback)).take(1).get_single_element()


def _decode_plain_jpeg(may_turn, path):
    """Decode a JPEG file for which TensorFlow and PIL agree, or fail."""
    content = _read_file(path, "jpe?g")
    # The shape can't be extracted where the header is longer.
    header = tf.strings.substr(content, 0, _JPEG_HEADER) if may_turn else content
    height, width, channels = tf.unstack(tf.io.extract_jpeg_shape(header, tf.int64))
    # Four channels are CMYK.
    is_plain = (channels != 4) & (height * width <= _MOST_PIXELS)
    if may_turn:
        is_plain &= ~tf.strings.regex_full_match(header, _JPEG_TAG)
    return decode_jpeg(_require(is_plain, content)), tf.constant("")


def _decode_plain_png(may_turn, path):
    """Decode a PNG file for which TensorFlow and PIL agree, or fail."""
    content = _read_file(path, "png")
    # The header has the signature, 8 more bytes, width, height, and the bits of a channel.
    sides = tf.io.decode_raw(tf.strings.substr(content, 16, 8), tf.int32, little_endian=False)
    is_plain = (
        (tf.strings.substr(content, 0, 8) == _PNG_SIGNATURE)
        & (tf.strings.substr(content, 24, 1) != _SIXTEEN_BITS)
        & (tf.reduce_prod(tf.cast(sides, tf.int64)) <= _MOST_PIXELS)
    )
    if may_turn:
        is_plain &= _has_no_tags(content)
    pixels = tf.io.decode_png(_require(is_plain, content), channels=3)
    return tf.ensure_shape(pixels, (None, None, 3)), tf.constant("")


def _has_no_tags(content):
    """Return whether a PNG file has no chunk for EXIF's tags, before its pixels or after them."""
    # To replace a word is the fastest search: a pattern for all takes a tenth of decoding.
    searched = content
    for word in _PNG_TAGS:
        searched = tf.strings.regex_replace(searched, word, "", replace_global=False)
    return tf.strings.length(searched) == tf.strings.length(content)


def _read_file(path, suffix):
    """Read a file, or fail if it has another suffix: PIL needn't read all of it."""
    return tf.io.read_file(_require(tf.strings.regex_full_match(path, rf"(?is).*\.{suffix}"), path))


def _require(condition, value):
    """Return a value, or fail without a message, which wouldn't be shown."""
    with tf.control_dependencies([tf.raw_ops.Assert(condition=condition, data=[""])]):
        return tf.identity(value)


def decode_jpeg(content):
    """Decode the bytes of a JPEG file, a str scalar tensor, to uint8 (height, width, 3)."""
    # TensorFlow's faster default differs from PIL, with which the original weights were trained
    # and evaluated, by one grey level.
    pixels = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(pixels, (None, None, 3))
