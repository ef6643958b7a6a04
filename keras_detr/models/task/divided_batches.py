"""Batches of `fit` and `evaluate` that several devices share, whatever their number of images."""

import functools

import numpy as np

from keras_detr.batches.structure import training_pair
from keras_detr.models.task.carried_inputs import with_image_weights
from keras_detr.ops.backends import current
from keras_detr.ops.keras_internals import changed_batches
from keras_detr.ops.numpy_arrays import to_numpy


def divided_data(data, x, y=None, **settings):
    """Return data of which each batch can be divided among all devices.

    Args:
        data: what the user passed, a data set or arrays; `is_part_of_process` is an attribute of a
            data set with this process' rows of each batch.
        x, y: what `training_data` made of it.
        **settings: of `changed_batches`.

    Returns:
        pair of `x` and `y`, as they are where Keras takes batches of any size.
    """
    if current().num_parts() == 1:
        return x, y
    is_part_of_process = getattr(data, "is_part_of_process", False)
    divide = functools.partial(divided_batch, is_part_of_process=is_part_of_process)
    return changed_batches(divide, x, y, **settings), None


def divided_batch(batch, is_part_of_process=False):
    """Return this process' rows of a batch, filled up so that devices divide it.

    It stays as it is where Keras takes batches of any size.

    Images that fill it up have no objects, and the weight 0 among those that inputs carry along.

    Args:
        batch: tuple of inputs and dense bounding boxes, arrays.
        is_part_of_process: bool, whether these are this process' rows already.
    """
    num_parts = current().num_parts()
    if num_parts == 1:
        return batch
    inputs, targets = training_pair(batch)
    inputs = _arrays(inputs if isinstance(inputs, dict) else {"images": inputs})
    targets = _arrays(targets)
    if is_part_of_process:
        num_parts //= current().process().count
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
