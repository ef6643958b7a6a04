"""Adapt what `fit`, `evaluate` and `predict` are given to what Keras' trainers take."""

import contextlib
import functools
import warnings

import keras
from keras import ops

from keras_detr.batches.class_names import check_same_classes
from keras_detr.batches.dropped_boxes import DroppedBoxes
from keras_detr.batches.image_range import image_range_of
from keras_detr.batches.image_sizes import unpadded_sizes
from keras_detr.batches.streams import (
    checked_stream,
    is_tensorflow_dataset,
    with_first_checked,
)
from keras_detr.batches.structure import (
    batch_pair,
    check_bounding_boxes,
    input_parts,
    target_entries,
    training_pair,
)
from keras_detr.batches.training_batch import check_inputs, check_training_batch
from keras_detr.models.task.carried_inputs import without_extra_entries
from keras_detr.models.task.raw_images import PredictedImages
from keras_detr.ops.numpy_arrays import to_numpy


def split_batch(data, has_masks=False):
    """Return what `batch_pair` does, without extra entries.

    Inputs are images or a dict of "images" and "pixel_mask", bounding boxes a dict of "boxes" and
    "classes", and "masks" where `has_masks`; or `None`.
    """
    inputs, targets = batch_pair(data)
    if targets is not None:
        check_bounding_boxes(targets, has_masks=has_masks)
        targets = {name: targets[name] for name in target_entries(has_masks)}
    return without_extra_entries(inputs), targets


def unpadded_size(inputs):
    """Return heights and widths of images without their padding, float32 (batch,) or (1,)."""
    images, pixel_mask, _ = input_parts(inputs)
    return tuple(ops.cast(side, "float32") for side in unpadded_sizes(images, pixel_mask, ops))


def training_data(model, x, y=None, is_first_checked=False):
    """Return the `x` and `y` with which Keras' trainers are to be called.

    Args:
        model: the detector, whose classes, box format and number of queries targets must fit.
        x: what the user passed: a data set, a generator, or arrays.
        y: what the user passed: bounding boxes of arrays, or `None`.
        is_first_checked: bool, whether the first batch of a data set is read and checked now.

    Raises:
        ValueError: arrays or the names of classes don't fit the model, or there is no batch. Data
            sets raise when a wrong batch is read.
    """
    check_same_classes(x, model)
    reports = {"dropped_boxes": DroppedBoxes(), "image_range": image_range_of(model)}
    check = functools.partial(training_batch, model, **reports)
    if is_tensorflow_dataset(x):
        from keras_detr.batches.tf_data import checked_training_batches

        checked = checked_training_batches(x, **_expected(model), **reports)
    else:
        checked = checked_stream(x, check)
    if checked is None:
        return training_batch(model, x, y, **reports)
    if y is not None:
        raise ValueError(
            "`y` must be left out beside a data set or a generator, whose batches hold the boxes. "
            f"Received: `x` a {type(x).__name__}, and `y`."
        )
    return with_first_checked(x, checked, check) if is_first_checked else checked, None


def training_batch(model, x, y=None, **reports):
    """Return arrays as the pair of inputs and dense boxes, both checked.

    Args:
        model: as in `training_data`.
        x: images or a dict of them, or a whole batch where `y` is `None`.
        y: dict of "boxes" and "classes", or `None`.
        **reports: "dropped_boxes" and "image_range" of `check_training_batch`; by default, boxes
            aren't reported, and the range of images once for the model.
    """
    inputs, targets = training_pair(x if y is None else (x, y))
    reports = {"image_range": model._untracked.image_range, **reports}
    targets = check_training_batch(inputs, targets, **_expected(model), **reports)
    return _as_arrays(inputs), targets


def _expected(model):
    """Return what batches are checked against."""
    names = ("num_classes", "bounding_box_format", "num_queries", "has_masks")
    return {name: getattr(model, name) for name in names}


def prediction_inputs(model, x):
    """Return what the user passed to `predict`, checked, without targets and extra entries.

    Args:
        model: the detector.
        x: a data set or generator of batches, or arrays.

    Raises:
        ValueError: as in `training_data`.
    """
    reported = PredictedImages(model)
    if is_tensorflow_dataset(x):
        from keras_detr.batches.tf_data import checked_prediction_batches

        return checked_prediction_batches(x, reported)
    checked = checked_stream(x, lambda batch: (prediction_batch(model, batch, reported),))
    return prediction_batch(model, x, reported) if checked is None else checked


def prediction_batch(model, batch, reported=None):
    """Return the inputs of a batch of arrays, as `prediction_inputs` does.

    `reported` has the method of `ImageRange`, by default the model's, which speaks once.
    """
    inputs = batch_pair(batch)[0]
    check_inputs(inputs, reported or model._untracked.image_range)
    return _as_arrays(inputs)


def _as_arrays(inputs):
    """Return inputs as arrays that the backend reads, whichever library they come from."""
    return keras.tree.map_structure(
        lambda array: array if ops.is_tensor(array) else to_numpy(array),
        without_extra_entries(inputs),
    )


@contextlib.contextmanager
def no_warning_at_the_end(steps):
    """Keep Keras from warning that data of unknown length ended, if all of it was asked for."""
    with warnings.catch_warnings():
        if steps is None:
            warnings.filterwarnings("ignore", message="Your input ran out of data")
        yield
