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


def split_inputs(inputs):
    """Return images and pixel mask (or `None`) of a model's inputs.

    Args:
        inputs: images (batch, height, width, 3), or a dict of "images" and "pixel_mask".

    Raises:
        ValueError: a dict has no images, or images or mask have another shape or type.
    """
    return input_parts(inputs)[:2]


def split_batch(data):
    """Return a batch as the pair (inputs, bounding_boxes), both without extra entries.

    Args:
        data: a dict with "images" and "bounding_boxes", a pair, or inputs alone.

    Returns:
        tuple: inputs as images or a dict of "images" and "pixel_mask"; bounding boxes as a dict of
        "boxes" and "classes", or `None`.

    Raises:
        ValueError: it is none of these.
    """
    inputs, targets = batch_pair(data)
    if targets is not None:
        check_bounding_boxes(targets)
        targets = {name: targets[name] for name in ("boxes", "classes")}
    return _without_extra_entries(inputs), targets


def split_training_batch(data):
    """Return what `split_batch` does, of a batch with targets.

    Raises:
        ValueError: it is something else, or targets are missing.
    """
    return split_batch(training_pair(data))


def unpadded_size(inputs):
    """Return heights and widths of the images inside of their padding.

    Args:
        inputs: images (batch, height, width, 3), or a dict with "pixel_mask".

    Returns:
        pair of float32 (batch,) or (1,) tensors.
    """
    sizes = unpadded_sizes(*split_inputs(inputs), ops)
    return tuple(ops.cast(side, "float32") for side in sizes)


def training_data(model, x, y=None):
    """Return the `x` and `y` with which Keras' trainers are to be called.

    Args:
        model: the detector, whose number of classes and box format targets must fit.
        x: what the user passed: a data set, a generator, or arrays.
        y: what the user passed: bounding boxes of arrays, or `None`.

    Raises:
        ValueError: arrays don't fit the model, or there is no batch. Data sets raise when a wrong
            batch is read.
    """
    dropped_boxes = DroppedBoxes()
    if is_tensorflow_dataset(x):
        from keras_detr.batches.tf_data import checked_training_batches

        classes, box_format = model.num_classes, model.bounding_box_format
        checked = checked_training_batches(x, classes, box_format, dropped_boxes)
    else:
        checked = checked_stream(x, functools.partial(_checked_pair, model, dropped_boxes))
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
        model: the detector, whose number of classes and box format targets must fit.
        x: images or a dict of "images" and perhaps "pixel_mask"; with boxes where `y` is `None`.
        y: dict of "boxes" and "classes", or `None`.
        dropped_boxes: `DroppedBoxes` that reports boxes without area, or `None`.

    Raises:
        ValueError: they don't fit the model.
    """
    return _checked_pair(model, dropped_boxes, x if y is None else (x, y))


def prediction_inputs(x):
    """Return the inputs of what the user passed to `predict`: no targets, no extra entries.

    Args:
        x: a data set or generator of batches, or arrays.

    Raises:
        ValueError: arrays aren't finite images, or there is no batch. Data sets raise when a wrong
            batch is read.
    """
    if is_tensorflow_dataset(x):
        from keras_detr.batches.tf_data import checked_prediction_batches

        return checked_prediction_batches(x)
    checked = checked_stream(x, _prediction_tuple)
    return prediction_batch(x) if checked is None else checked


def prediction_batch(batch):
    """Return the inputs of a batch of arrays, checked.

    Args:
        batch: what `split_batch` takes; targets and extra entries are left out.

    Raises:
        ValueError: it holds no finite images.
    """
    inputs = batch_pair(batch)[0]
    check_inputs(inputs)
    return _as_arrays(inputs)


def _prediction_tuple(batch):
    return (prediction_batch(batch),)


def _checked_pair(model, dropped_boxes, batch):
    inputs, targets = training_pair(batch)
    targets = check_training_batch(
        inputs, targets, model.num_classes, model.bounding_box_format, dropped_boxes
    )
    return _as_arrays(inputs), targets


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
