"""Batches of `fit` and `evaluate` that several devices share, whatever their number of images."""

import zlib

import numpy as np

from keras_detr.batches.structure import training_pair
from keras_detr.models.task.carried_inputs import with_image_weights
from keras_detr.ops.backends import current
from keras_detr.ops.keras_internals import changed_batches
from keras_detr.ops.numpy_arrays import to_numpy
from keras_detr.ops.processes import gather


def divided_data(data, x, y=None, **settings):
    """Return data of which each batch can be divided among all devices.

    Args:
        data: what the user passed, a data set or arrays; `is_part_of_process` is an attribute of a
            data set with this process' rows of each batch.
        x, y: what `training_data` made of it.
        **settings: of `changed_batches`.

    Returns:
        pair of `x` and `y`, as they are where Keras divides batches itself, or none.
    """
    if current().num_parts() is None:
        return x, y
    divide = BatchDivision(getattr(data, "is_part_of_process", False))
    return changed_batches(divide, x, y, **settings), None


class BatchDivision:
    """Divide batches as `divided_batch` does, after a look at whether all processes have the same.

    Args:
        is_part_of_process: bool, as in `divided_batch`.

    Raises:
        ValueError: on a call, in all processes: the first batches differ.
    """

    def __init__(self, is_part_of_process):
        self._is_part_of_process = is_part_of_process
        self._is_checked = False

    def __call__(self, batch):
        if not self._is_checked:
            _check_same_batches(batch, self._is_part_of_process)
            self._is_checked = True
        return divided_batch(batch, self._is_part_of_process)


def _check_same_batches(batch, is_part_of_process):
    inputs, targets = training_pair(batch)
    images = inputs["images"] if isinstance(inputs, dict) else inputs
    seen = [tuple(images.shape)]
    if not is_part_of_process:
        seen.append(zlib.crc32(to_numpy(targets["boxes"]).tobytes()))
    by_process = gather(seen)
    if any(others != seen for others in by_process):
        raise ValueError(
            "All processes must pass the same batches, of which each takes its rows, and they "
            "differ. Give data sets and augmentation a `seed`, or call "
            "`keras.utils.set_random_seed(0)` first in all processes. Received shapes of images "
            f"and checksums of boxes: {by_process}."
        )


def divided_batch(batch, is_part_of_process=False):
    """Return this process' rows of a batch, filled up so that devices divide it.

    It stays as it is where Keras divides batches itself, or none.

    Images that fill it up have no objects, and the weight 0 among those that inputs carry along.

    Args:
        batch: tuple of inputs and dense bounding boxes, arrays.
        is_part_of_process: bool, whether these are this process' rows already.
    """
    num_parts = current().num_parts()
    if num_parts is None:
        return batch
    inputs, targets = training_pair(batch)
    inputs = _arrays(inputs if isinstance(inputs, dict) else {"images": inputs})
    targets = _arrays(targets)
    if is_part_of_process:
        num_parts = max(1, num_parts // current().process().count)
    number = len(targets["classes"])
    size = -(-number // num_parts) * num_parts
    own = np.arange(size) if is_part_of_process else current().rows_of_process(size)
    # The last image is repeated: it is finite, and its mask isn't empty.
    rows = slice(None) if len(own) == number else np.minimum(own, number - 1)
    inputs = {name: array[rows] for name, array in inputs.items()}
    targets = {name: array[rows] for name, array in targets.items()}
    is_real = own < number
    targets["classes"] = np.where(is_real[:, None], targets["classes"], -1)
    return with_image_weights(inputs, is_real.astype("float32")), targets


def _arrays(entries):
    return {name: to_numpy(array) for name, array in entries.items()}
