"""Batches of `fit` and `evaluate` that several devices share, whatever their number of images."""

import functools
import zlib

import keras
import numpy as np
from keras import ops

from keras_detr.batches.structure import repeats_forever, training_pair
from keras_detr.models.task.carried_inputs import with_image_weights
from keras_detr.models.task.data_adapter import training_data
from keras_detr.ops.backends import current
from keras_detr.ops.keras_internals import changed_batches
from keras_detr.ops.numpy_arrays import to_numpy
from keras_detr.ops.processes import gather


def checked_data(model, x, y=None, is_first_checked=False, **steps):
    """Return what `training_data` does, and whether these are the rows of this process only.

    Of a data set with a function `rows_of_process`, as `training_batches` returns it, each of
    several processes reads its own rows.

    `steps` is the argument for the number of steps, by its name.

    Raises:
        ValueError: see `training_data`; `x` repeats without end, and there is no number of steps;
            or `x` was made to be the rows of one process.
    """
    if None in steps.values() and repeats_forever(x):
        raise ValueError(
            f"`{next(iter(steps))}` must be given for a data set that repeats without end, as that "
            "of `training_batches` does: the images of the data set divided by the batch size."
        )
    if current().num_parts(model) is None:
        return *training_data(model, x, y, is_first_checked), False
    if getattr(x, "is_part_of_process", False):
        raise ValueError(
            "`x` must be the batches of all processes together, of which each trains on its rows. "
            "Leave out the argument `process` of `training_batches`: `fit` lets each process read "
            "its own rows only. Received the rows of one process."
        )
    process, rows_of_process = current().process(), getattr(x, "rows_of_process", None)
    is_possible = process.count > 1 and rows_of_process is not None
    own = rows_of_process(process) if is_possible else None
    is_own = own is not None
    return *training_data(model, own if is_own else x, y, is_first_checked), is_own


def divided_data(model, x, y, is_own, **settings):
    """Return data of which each batch can be divided among all devices.

    Args:
        model: `SetPredictionDetector`.
        x, y, is_own: what `checked_data` returned.
        **settings: of `changed_batches`.

    Returns:
        pair of `x` and `y`, as they are where batches aren't divided.
    """
    if current().num_parts(model) is None:
        return x, y
    num_parts = current().num_own_parts(model) if is_own else current().num_parts(model)
    filled = functools.partial(filled_batch, num_parts=num_parts, library=ops)
    divide = functools.partial(current().divided_rows, model) if is_own else None
    changes = {"change_arrays": BatchDivision(num_parts, is_own), "change_tensors": filled}
    return changed_batches(x, y, **changes, divide_tensors=divide, **settings), None


class BatchDivision:
    """Give a process its rows of each batch, after a look at whether all have the same batches.

    Args:
        num_parts: int, of which each batch is to have a multiple of rows.
        is_own: bool, whether batches hold the rows of this process only.

    Raises:
        ValueError: on a call, in all processes: the first batches differ.
    """

    def __init__(self, num_parts, is_own):
        self._num_parts = num_parts
        self._is_own = is_own
        self._is_checked = False

    def __call__(self, batch):
        if not self._is_checked:
            _check_same_batches(batch, self._is_own)
            self._is_checked = True
        filled = filled_batch(batch, self._num_parts)
        return filled if self._is_own else rows_of_process(filled)


def divided_batch(model, batch):
    """Return a batch of arrays, a pair, as `divided_data` does its batches."""
    num_parts = current().num_parts(model)
    return batch if num_parts is None else rows_of_process(filled_batch(batch, num_parts))


def filled_batch(batch, num_parts, library=np):
    """Return a batch, filled up so that its rows can be divided.

    Images that fill it up have no objects, and the weight 0 among those that inputs carry along.

    Args:
        batch: tuple of inputs and dense bounding boxes.
        num_parts: int, by which the number of rows is to be divisible.
        library: `numpy` or `keras.ops`, for arrays or tensors.
    """
    inputs, targets = training_pair(batch)
    if library is np:
        inputs, targets = keras.tree.map_structure(to_numpy, (inputs, targets))
    inputs = inputs if isinstance(inputs, dict) else {"images": inputs}
    number = library.shape(targets["classes"])[0]
    places = library.arange(-(-number // num_parts) * num_parts)
    # The last image is repeated: it is finite, and its mask isn't empty.
    rows = library.minimum(places, number - 1)
    inputs, targets = keras.tree.map_structure(
        lambda array: library.take(array, rows, axis=0), (inputs, targets)
    )
    is_real = places < number
    classes = library.where(library.expand_dims(is_real, 1), targets["classes"], -1)
    weights = is_real.astype("float32") if library is np else ops.cast(is_real, "float32")
    return with_image_weights(inputs, weights), {**targets, "classes": classes}


def rows_of_process(batch):
    """Return this process' rows of a batch of arrays."""
    rows = current().rows_of_process(len(batch[1]["classes"]))
    return keras.tree.map_structure(lambda array: array[rows], batch)


def _check_same_batches(batch, is_own):
    inputs, targets = training_pair(batch)
    images = inputs["images"] if isinstance(inputs, dict) else inputs
    # Different rows of the same batch have the shape in common.
    checksum = 0 if is_own else zlib.crc32(to_numpy(targets["boxes"]).tobytes())
    seen = tuple(images.shape), checksum
    by_process = gather(seen)
    if any(others != seen for others in by_process):
        raise ValueError(
            "All processes must pass the same batches, of which each takes its rows, and they "
            "differ. Give data sets and augmentation a `seed`, or call "
            "`keras.utils.set_random_seed(0)` first in all processes. Received shapes of images "
            f"and checksums of boxes: {by_process}."
        )
