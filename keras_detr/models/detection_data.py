"""The structures in which images and boxes come to a detector, brought to one."""

import inspect

import keras
from keras import ops

from keras_detr.ops.backends import is_tensorflow_dataset
from keras_detr.preprocessing import array_checks
from keras_detr.preprocessing.dropped_boxes import DroppedBoxes


def split_inputs(inputs):
    """Return images and pixel mask (or `None`) of a model's inputs.

    Args:
        inputs: images (batch, height, width, 3), or a dict of "images" and "pixel_mask".

    Raises:
        ValueError: a dict has no images, or images don't have four axes.
    """
    images, pixel_mask = inputs, None
    if isinstance(inputs, dict):
        if "images" not in inputs:
            raise ValueError(
                "Inputs given as a dict must have the key 'images' (and may have 'pixel_mask'). "
                f"Received the keys: {sorted(inputs)}."
            )
        images, pixel_mask = inputs["images"], inputs.get("pixel_mask")
    if len(images.shape) != 4 or images.shape[-1] not in (3, None):
        raise ValueError(
            "Images must have the shape (batch, height, width, 3). Received: "
            f"{tuple(images.shape)}."
        )
    return images, pixel_mask


def split_batch(data):
    """Return a batch as the pair (inputs, bounding_boxes), both without extra entries.

    Args:
        data: a dict with "images" and "bounding_boxes", a pair, or inputs alone.

    Returns:
        tuple: inputs as images or a dict of "images" and "pixel_mask"; bounding boxes as a dict of
        "boxes" and "classes", or `None`.
    """
    if isinstance(data, (tuple, list)):
        inputs, targets, *rest = (*data, None) if len(data) == 1 else data
        if any(entry is not None for entry in rest):
            raise ValueError(
                "A batch must be a dict or a pair (inputs, bounding_boxes); sample weights aren't "
                f"supported. Received: {len(data)} entries."
            )
    else:
        inputs, targets = data, data.get("bounding_boxes") if isinstance(data, dict) else None
    if isinstance(inputs, dict):
        inputs = {name: inputs[name] for name in ("images", "pixel_mask") if name in inputs}
    if isinstance(targets, dict):
        targets = {name: targets[name] for name in ("boxes", "classes")}
    return inputs, targets


def unpadded_size(inputs):
    """Return heights and widths of the images inside of their padding.

    Args:
        inputs: images (batch, height, width, 3), or a dict with "pixel_mask".

    Returns:
        pair of float32 (batch,) or (1,) tensors.
    """
    images, pixel_mask = split_inputs(inputs)
    if pixel_mask is None:
        height, width = ops.shape(images)[1:3]
        return tuple(ops.reshape(ops.cast(side, "float32"), (1,)) for side in (height, width))
    is_image = ops.cast(ops.cast(pixel_mask, "bool"), "float32")
    # Padding lies at the bottom and on the right, so one column and one row tell all.
    return ops.sum(is_image[:, :, 0], axis=1), ops.sum(is_image[:, 0, :], axis=1)


def training_data(model, x, y=None, is_telling=True):
    """Return the `x` and `y` with which Keras' trainers are to be called.

    Args:
        model: the detector, whose number of classes and box format targets must fit.
        x: what the user passed: a data set, a generator, or arrays.
        y: what the user passed: bounding boxes of arrays, or `None`.
        is_telling: bool, whether the first boxes without area are logged.

    Raises:
        ValueError: arrays don't fit the model. Data sets raise when the batch is read.
    """
    dropped_boxes = DroppedBoxes() if is_telling else None
    if is_tensorflow_dataset(x):
        from keras_detr.preprocessing import checked_training_batches

        checked = checked_training_batches(
            x, model.num_classes, model.bounding_box_format, dropped_boxes
        )
        return checked, None
    if inspect.isgenerator(x):
        return (_checked_pair(model, batch, dropped_boxes) for batch in x), None
    if isinstance(x, keras.utils.PyDataset):
        return _CheckedPyDataset(model, x, dropped_boxes), None
    if isinstance(x, dict) or hasattr(x, "shape"):
        return _checked_pair(model, x if y is None else (x, y), dropped_boxes)
    return x, y


def prediction_inputs(x):
    """Return the inputs of what the user passed to `predict`: no targets, no extra entries.

    Args:
        x: a data set or generator of batches, or arrays.

    Raises:
        ValueError: an image has a NaN.
    """
    if is_tensorflow_dataset(x):
        from keras_detr.preprocessing import checked_prediction_batches

        return checked_prediction_batches(x)
    if inspect.isgenerator(x):
        return ((_checked_inputs(batch),) for batch in x)
    if isinstance(x, dict) or hasattr(x, "shape"):
        return _checked_inputs(x)
    return x


def _checked_inputs(batch):
    inputs, _ = split_batch(batch)
    came = _inputs_as_they_came(batch)
    image_ids = came.get("image_id") if isinstance(came, dict) else None
    array_checks.check_images(split_inputs(inputs)[0], image_ids)
    return inputs


def _checked_pair(model, batch, dropped_boxes=None):
    inputs, bounding_boxes = split_batch(batch)
    if bounding_boxes is None:
        raise ValueError(
            "Targets are missing. Pass a dict with 'images' and 'bounding_boxes', or images and "
            "`y={'boxes': ..., 'classes': ...}`."
        )
    split_inputs(inputs)
    return inputs, array_checks.check_arrays(
        _inputs_as_they_came(batch),
        bounding_boxes,
        model.num_classes,
        model.bounding_box_format,
        dropped_boxes,
    )


def _inputs_as_they_came(batch):
    """Return inputs with entries that only messages use, such as the images' ids."""
    return batch[0] if isinstance(batch, (tuple, list)) else batch


class _CheckedPyDataset(keras.utils.PyDataset):
    """Check the batches of another data set as they come."""

    def __init__(self, model, dataset, dropped_boxes):
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self._model = model
        self._dataset = dataset
        self._dropped_boxes = dropped_boxes

    def __len__(self):
        return len(self._dataset)

    @property
    def num_batches(self):
        return self._dataset.num_batches

    def __getitem__(self, index):
        return _checked_pair(self._model, self._dataset[index], self._dropped_boxes)

    def on_epoch_begin(self):
        self._dataset.on_epoch_begin()

    def on_epoch_end(self):
        self._dataset.on_epoch_end()
