"""Look up mask logits, which are of a padded image, at the pixels of the original image."""

from typing import NamedTuple

import numpy as np

from keras_detr.ops.numpy_arrays import to_numpy

# Which point of a pixel of the original image is looked up, in halves of its side. The originals
# take PyTorch's "nearest" for instances, and Pillow's for panoptic maps.
FIRST_CORNER, CENTER = 0, 1


class Axis(NamedTuple):
    """Hold between which two logits each row, or column, of the original image lies.

    Attributes:
        low: int64 (pixels,).
        high: int64 (pixels,).
        share: float32 (pixels,), in 0..1, the weight of `high`.
    """

    low: np.ndarray
    high: np.ndarray
    share: np.ndarray


def axes_of(logits_size, sizes, point):
    """Return the `Axis` of the rows and that of the columns.

    A pixel of the original image takes the nearest one of the unpadded image, and that lies between
    logits, which are at the centers of equal parts of the canvas.

    Args:
        logits_size: pair of int (height, width).
        sizes: what `check_sizes` returns.
        point: `FIRST_CORNER` or `CENTER`.
    """
    return tuple(_axis(*lengths, point) for lengths in zip(logits_size, *sizes, strict=True))


def _axis(num_logits, canvas, unpadded, image, point):
    nearest = nearest_pixels(unpadded, image, point)
    places = np.clip((nearest + 0.5) * num_logits / canvas - 0.5, 0, num_logits - 1)
    low = places.astype(np.int64)
    high = np.minimum(low + 1, num_logits - 1)
    return Axis(low, high, (places - low).astype(np.float32))


def nearest_pixels(length_before, length, point):
    """Return which pixel of a side each pixel of it has when it is resized, int64 (length,).

    Args:
        length_before: int, pixels.
        length: int, pixels.
        point: `FIRST_CORNER` or `CENTER`. With `CENTER` a side that was lengthened and is shortened
            again is as it was.
    """
    return (2 * np.arange(length) + point) * length_before // (2 * length)


def sample(logits, axes):
    """Interpolate the logits of one mask.

    Args:
        logits: float32 (height, width).
        axes: pair of `Axis`.

    Returns:
        float32 (image height, image width).
    """
    rows, columns = axes
    wide = _between(logits[:, columns.low], logits[:, columns.high], columns.share)
    return _between(wide[rows.low], wide[rows.high], rows.share[:, None])


def _between(low, high, share):
    high -= low
    high *= share
    high += low
    return high


def checked_logits(mask_logits):
    """Return mask logits as float32.

    Raises:
        ValueError: they aren't finite numbers (objects, height, width).
    """
    logits = to_numpy(mask_logits)
    if logits.ndim != 3 or 0 in logits.shape[1:]:
        raise ValueError(
            "`mask_logits` must be the logits of one image, (objects, height, width). Received the "
            f"shape {logits.shape}."
        )
    logits = logits.astype(np.float32, copy=False)
    if not np.isfinite(logits).all():
        raise ValueError(
            "`mask_logits` must be finite. Received NaN or infinity: the model's training has "
            "diverged, or its input isn't finite."
        )
    return logits


def check_sizes(canvas_size, unpadded_size, image_size):
    """Return the sizes of an image on the canvas, unpadded, and as it was, as tuples of int.

    Raises:
        ValueError: one isn't a height and a width, or the image doesn't fit into the canvas.
    """
    sizes = {
        "canvas_size": canvas_size,
        "unpadded_size": unpadded_size,
        "image_size": image_size,
    }
    checked = {name: checked_size(name, size) for name, size in sizes.items()}
    canvas, unpadded = checked["canvas_size"], checked["unpadded_size"]
    if any(side > limit for side, limit in zip(unpadded, canvas, strict=True)):
        raise ValueError(
            "`unpadded_size` must fit into `canvas_size`, the (height, width) of the padded image. "
            f"Received: {unpadded} and {canvas}."
        )
    return tuple(checked.values())


def checked_size(name, size):
    """Return (height, width) as a tuple of int.

    Raises:
        ValueError: `size` is something else.
    """
    array = to_numpy(size) if size is not None else np.zeros(0)
    if array.shape != (2,) or array.dtype.kind not in "iu" or array.min() < 1:
        raise ValueError(
            f"`{name}` must be (height, width) in pixels, two integers of at least 1. Received: "
            f"{size!r:.80}."
        )
    return tuple(array.tolist())
