"""Check the batches of a tf.data pipeline, by the same rules as arrays."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_detr.batches.arrays import ragged_rows
from keras_detr.batches.carried_format import FORMAT_ENTRY
from keras_detr.batches.row_entries import ROW_ENTRIES
from keras_detr.batches.shapes import NO_BATCH, check_box_shapes, shape_of
from keras_detr.batches.structure import batch_parts, input_parts
from keras_detr.batches.training_batch import check_inputs, check_training_batch
from keras_detr.ops.backends import current
from keras_detr.ops.boxes import check_box_format


def checked_training_batches(
    dataset: Any,
    num_classes: int,
    bounding_box_format: str,
    dropped_boxes: Any = None,
    num_queries: int | None = None,
    image_range: Any = None,
    has_masks: bool = False,
) -> Any:
    """Bring a data set's batches into one structure and check every value.

    Args:
        dataset: tf.data.Dataset of batches: a dict of "images" (batch, height, width, 3),
            "bounding_boxes" and perhaps "pixel_mask", "image_id" (batch,), by which messages name
            images, and "bounding_box_format"; or a tuple (x, bounding_boxes) where x is images or a
            dict of them. "bounding_boxes" is a dict of "boxes" (batch, N, 4) and "classes" (batch,
            N), 0-based, -1 for padding, dense or ragged; and perhaps "masks" (batch, N, height,
            width) of the padded images.
        num_classes: int, classes must be below it.
        bounding_box_format: str, one of `keras_detr.ops.boxes.BOX_FORMATS`.
        dropped_boxes: `DroppedBoxes` that reports boxes without area, or None.
        num_queries: int, how many objects with an area an image can have at most, or None.
        image_range: `ImageRange` that reports images of other values than a model takes, or None.
        has_masks: bool, whether there must be masks.

    Returns:
        tf.data.Dataset of `({"images", "pixel_mask"}, {"boxes", "classes"})`, boxes float32
        (batch, N, 4) in the format of the data set and classes int32 (batch, N), -1 where an
        image has fewer. "pixel_mask" is there if the batches have it; "masks" bool (batch, N,
        height, width) if `has_masks`.

    Raises:
        ValueError: the structure or a shape that is known is wrong, before a batch is read.
        tf.errors.InvalidArgumentError: while reading, with the message of `check_training_batch`.

    Example:
        ```python
        import numpy as np
        import tensorflow as tf
        from keras_detr.batches import checked_training_batches

        boxes = {"boxes": np.array([[[2.0, 2, 9, 9]]], "float32"), "classes": np.array([[0]])}
        images = np.full((1, 32, 32, 3), 99, "uint8")
        dataset = tf.data.Dataset.from_tensors({"images": images, "bounding_boxes": boxes})
        inputs, targets = next(iter(checked_training_batches(dataset, 1, "xyxy")))
        print(targets["boxes"].shape)  # (1, 1, 4)
        ```
    """
    check_box_format(bounding_box_format)

    def check(images, pixel_mask, image_ids, carried_format, *rows):
        x = {"images": images, "pixel_mask": pixel_mask, "image_id": image_ids}
        x[FORMAT_ENTRY] = carried_format
        bounding_boxes = dict(zip(("boxes", "classes", *ROW_ENTRIES), rows, strict=True))
        checked = check_training_batch(
            x,
            bounding_boxes,
            num_classes,
            bounding_box_format,
            dropped_boxes,
            num_queries,
            image_range,
            has_masks,
        )
        return checked["boxes"], checked["classes"]

    def checked_batch(*batch):
        parts = batch_parts(batch[0] if len(batch) == 1 else batch, has_masks)
        shape = check_box_shapes(parts.boxes, parts.classes, shape_of(parts.images, 4)[:1])
        inputs = parts.images, parts.pixel_mask, parts.image_ids
        rows = parts.boxes, parts.classes, *map(parts.entries.get, ROW_ENTRIES)
        others = parts.carried_format, *rows
        x, (boxes, classes) = _checked(check, *inputs, *others, dtypes=(tf.float32, tf.int32))
        boxes, classes = tf.ensure_shape(boxes, (*shape, 4)), tf.ensure_shape(classes, shape)
        targets = {"boxes": boxes, "classes": classes}
        if has_masks:
            # Not by way of NumPy, which would copy them.
            with tf.control_dependencies([boxes]):
                targets["masks"] = _dense_masks(parts.entries["masks"], boxes, x["images"])
        return x, targets

    return _mapped(checked_batch, dataset)


def checked_prediction_batches(dataset: Any, image_range: Any = None) -> Any:
    """Bring a data set's batches into the structure of a detector's inputs, without targets.

    Args:
        dataset: tf.data.Dataset of batches: images (batch, height, width, 3), a dict of "images"
            and perhaps "pixel_mask", or what `checked_training_batches` takes.
        image_range: as in `checked_training_batches`.

    Returns:
        tf.data.Dataset of `({"images", "pixel_mask"},)`; "pixel_mask" is there if the batches
        have it.

    Raises:
        ValueError: the structure or a shape that is known is wrong, before a batch is read.
        tf.errors.InvalidArgumentError: while reading, with the message of `check_inputs`.

    Example:
        ```python
        import numpy as np
        import tensorflow as tf
        from keras_detr.batches import checked_prediction_batches

        dataset = tf.data.Dataset.from_tensors({"images": np.full((2, 32, 32, 3), 99, "uint8")})
        (inputs,) = next(iter(checked_prediction_batches(dataset)))
        print(inputs["images"].shape)  # (2, 32, 32, 3)
        ```
    """

    def check(images, pixel_mask, image_ids):
        x = {"images": images, "pixel_mask": pixel_mask, "image_id": image_ids}
        check_inputs(x, image_range)
        return ()

    def checked_batch(*batch):
        x, _ = _checked(check, *input_parts(batch[0]), dtypes=())
        return (x,)

    return _mapped(checked_batch, dataset)


def _dense_masks(masks, boxes, images):
    """Return masks that were checked, dense or ragged, as bool (batch, N, height, width)."""
    if isinstance(masks, tf.RaggedTensor):
        masks = masks.to_tensor(shape=(*boxes.shape[:2], *images.shape[1:3]))
    shape = tf.concat([tf.shape(boxes)[:2], tf.shape(images)[1:3]], axis=0)
    masks = tf.cast(tf.reshape(masks, shape), tf.bool)
    return tf.ensure_shape(masks, (*boxes.shape[:2], *images.shape[1:3]))


def _mapped(function, dataset):
    current().reserve_gpus(tf.config)
    if dataset.cardinality() == 0:
        raise ValueError(NO_BATCH)
    # Without a Python branch on a tensor there is nothing to rewrite, which would take seconds.
    function = tf.autograph.experimental.do_not_convert(function)
    return dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE)


def _checked(check, images, pixel_mask, image_ids, *others, dtypes):
    """Run a check in NumPy when a batch is read.

    Args:
        check: function of the other arguments as arrays, lists of arrays in the place of ragged
            tensors, and `None`s. Returns arrays of these `dtypes`; raises a ValueError.

    Returns:
        tuple: dict of "images" and perhaps "pixel_mask", and the list of the check's arrays. What
        is computed from them runs after the check.
    """
    # Ids that aren't dense can't name the images.
    image_ids = image_ids if isinstance(image_ids, tf.Tensor) else None
    components = [
        [] if argument is None else tf.nest.flatten(argument, expand_composites=True)
        for argument in (images, pixel_mask, image_ids, *others)
    ]

    def run(*arrays):
        # Arrays share the memory of their tensors: nothing is copied.
        remaining = iter(arrays)
        values = [[next(remaining) for _ in tensors] for tensors in components]
        try:
            # Of a ragged tensor there are the flat values and the row splits.
            results = check(*(ragged_rows(*parts) if parts else None for parts in values))
        except ValueError as error:
            # Raised here, it would come out with a traceback through TensorFlow.
            return [str(error), *(np.zeros((0,) * 3, dtype.as_numpy_dtype) for dtype in dtypes)]
        return ["", *results]

    flat = [tensor for tensors in components for tensor in tensors]
    message, *results = tf.numpy_function(run, flat, [tf.string, *dtypes])
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(message, ""), [message])]):
        x = {"images": tf.ensure_shape(images, (None, None, None, 3))}
        if pixel_mask is not None:
            x["pixel_mask"] = tf.ensure_shape(pixel_mask, (None, None, None))
        return x, [tf.identity(result) for result in results]
