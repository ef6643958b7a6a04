"""Adapt what `fit`, `evaluate` and `predict` are given to what Keras' trainers take."""

import functools

import keras
from keras import ops

from keras_detr.batches.arrays import to_numpy
from keras_detr.batches.dropped_boxes import DroppedBoxes
from keras_detr.batches.image_sizes import unpadded_sizes
from keras_detr.batches.streams import checked_stream, is_tensorflow_dataset
from keras_detr.batches.structure import (
    batch_pair,
    check_bounding_boxes,
    input_parts,
    training_pair,
)
from keras_detr.batches.training_batch import check_inputs, check_training_batch


def split_batch(data):
    """Return what `batch_pair` does, without extra entries.

    Inputs are images or a dict of "images" and "pixel_mask", bounding boxes a dict of "boxes" and
    "classes", or `None`.
    """
    inputs, targets = batch_pair(data)
    if targets is not None:
        check_bounding_boxes(targets)
        targets = {name: targets[name] for name in ("boxes", "classes")}
    return _without_extra_entries(inputs), targets


def unpadded_size(inputs):
    """Return heights and widths of images without their padding, float32 (batch,) or (1,)."""
    images, pixel_mask, _ = input_parts(inputs)
    return tuple(ops.cast(side, "float32") for side in unpadded_sizes(images, pixel_mask, ops))


def training_data(model, x, y=None):
    """Return the `x` and `y` with which Keras' trainers are to be called.

    Args:
        model: the detector, whose classes, box format and number of queries targets must fit.
        x: what the user passed: a data set, a generator, or arrays.
        y: what the user passed: bounding boxes of arrays, or `None`.

    Raises:
        ValueError: arrays don't fit the model, or there is no batch. Data sets raise when a wrong
            batch is read.
    """
    dropped_boxes = DroppedBoxes()
    if is_tensorflow_dataset(x):
        from keras_detr.batches.tf_data import checked_training_batches

        checked = checked_training_batches(x, *_expected(model, dropped_boxes))
    else:
        check = functools.partial(training_batch, model, dropped_boxes=dropped_boxes)
        checked = checked_stream(x, check)
    if checked is None:
        return training_batch(model, x, y, dropped_boxes)
    if y is not None:
        raise ValueError(
            "`y` must be left out beside a data set or a generator, whose batches hold the boxes. "
            f"Received: `x` a {type(x).__name__}, and `y`."
        )
    return checked, None


def training_batch(model, x, y=None, dropped_boxes=None):
    """Return arrays as the pair of inputs and dense boxes, both checked.

    Args:
        model: as in `training_data`.
        x: images or a dict of them, or a whole batch where `y` is `None`.
        y: dict of "boxes" and "classes", or `None`.
        dropped_boxes: `DroppedBoxes` that reports boxes without area, or `None`.
    """
    inputs, targets = training_pair(x if y is None else (x, y))
    targets = check_training_batch(inputs, targets, *_expected(model, dropped_boxes))
    return _as_arrays(inputs), targets


def _expected(model, dropped_boxes):
    """Return what batches are checked against, as the checks take it."""
    return model.num_classes, model.bounding_box_format, dropped_boxes, model.num_queries


def prediction_inputs(x):
    """Return what the user passed to `predict`, checked, without targets and extra entries.

    Args:
        x: a data set or generator of batches, or arrays.

    Raises:
        ValueError: as in `training_data`.
    """
    if is_tensorflow_dataset(x):
        from keras_detr.batches.tf_data import checked_prediction_batches

        return checked_prediction_batches(x)
    checked = checked_stream(x, _prediction_tuple)
    return prediction_batch(x) if checked is None else checked


def prediction_batch(batch):
    """Return the inputs of a batch of arrays, as `prediction_inputs` does."""
    inputs = batch_pair(batch)[0]
    check_inputs(inputs)
    return _as_arrays(inputs)


def _prediction_tuple(batch):
    return (prediction_batch(batch),)


def _as_arrays(inputs):
    """Return inputs as arrays that the backend reads, whichever library they come from."""
    return keras.tree.map_structure(
        lambda array: array if ops.is_tensor(array) else to_numpy(array),
        _without_extra_entries(inputs),
    )


def _without_extra_entries(inputs):
    if not isinstance(inputs, dict):
        return inputs
    return {name: inputs[name] for name in ("images", "pixel_mask") if inputs.get(name) is not None}
