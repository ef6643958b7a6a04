"""The data set's door into `fit`: any accepted batch in, one checked structure out."""

import tensorflow as tf

from keras_detr.ops.boxes import check_box_format
from keras_detr.preprocessing.batch_structure import batch_parts, input_parts
from keras_detr.preprocessing.box_position import OUTSIDE_ADVICE, has_area, is_outside
from keras_detr.preprocessing.input_checks import NO_BATCH, check_numbers
from keras_detr.preprocessing.runtime_checks import checked


def checked_training_batches(dataset, num_classes, bounding_box_format, dropped_boxes=None):
    """Bring a data set's batches into one structure and check every value.

    Args:
        dataset: tf.data.Dataset of batches: a dict of "images" (batch, height, width, 3),
            "bounding_boxes" and perhaps "pixel_mask" and "image_id" (batch,), by which messages
            name images; or a tuple (x, bounding_boxes) where x is images or a dict of them.
            "bounding_boxes" is a dict of "boxes" (batch, N, 4) and "classes" (batch, N), 0-based,
            -1 for padding, dense or ragged.
        num_classes: int, classes must be below it.
        bounding_box_format: str, one of `keras_detr.ops.boxes.BOX_FORMATS`.
        dropped_boxes: `DroppedBoxes` that tells of boxes without area, or None.

    Returns:
        tf.data.Dataset of `({"images", "pixel_mask"}, {"boxes", "classes"})`, boxes float32
        (batch, N, 4) in the format they came in and classes int32 (batch, N), -1 where an
        image has fewer. "pixel_mask" is there if it came.

    Raises:
        ValueError: the structure is another, before a batch is read.
        tf.errors.InvalidArgumentError: while reading: boxes and classes disagree in length, a
            class isn't a whole number in [-1, num_classes), images or boxes of real classes
            aren't finite, or a real box lies wholly outside its image without padding. Boxes
            partly outside or without area pass.
    """
    check_box_format(bounding_box_format)

    # Without a Python branch on a tensor there is nothing to rewrite, which would take seconds.
    @tf.autograph.experimental.do_not_convert
    def checked_batch(*batch):
        batch = _with_ranks(batch)
        parts = batch_parts(batch[0] if len(batch) == 1 else batch)
        image_ids = _image_ids(parts.image_ids)
        images, height, width = _checked_images(parts.images, parts.pixel_mask, image_ids)
        boxes, classes = _dense(parts.boxes, parts.classes)
        boxes = _agreeing(boxes, images, 1, "`boxes` and `images` must agree in length")
        classes = _checked_classes(classes, num_classes, image_ids)
        boxes = _checked_boxes(boxes, classes, height, width, bounding_box_format, image_ids)
        if dropped_boxes is not None:
            is_empty = ~has_area(boxes, height, width, bounding_box_format, tf) & (classes >= 0)
            boxes = _told(dropped_boxes, boxes, is_empty, image_ids)
        x = _model_inputs(images, parts.pixel_mask)
        return x, {"boxes": boxes, "classes": classes}

    return _some(dataset).map(checked_batch, num_parallel_calls=tf.data.AUTOTUNE)


def checked_prediction_batches(dataset):
    """Bring a data set's batches into the structure of a detector's inputs, without targets.

    Args:
        dataset: tf.data.Dataset of batches: images (batch, height, width, 3), a dict of "images"
            and perhaps "pixel_mask", or what `checked_training_batches` takes.

    Returns:
        tf.data.Dataset of `({"images", "pixel_mask"},)`; "pixel_mask" is there if it came.

    Raises:
        ValueError: the structure is another, before a batch is read.
        tf.errors.InvalidArgumentError: while reading: images aren't finite.
    """

    # Without a Python branch on a tensor there is nothing to rewrite, which would take seconds.
    @tf.autograph.experimental.do_not_convert
    def checked_batch(*batch):
        images, pixel_mask, image_ids = input_parts(_with_ranks(batch[0]))
        images, _, _ = _checked_images(images, pixel_mask, _image_ids(image_ids))
        return (_model_inputs(images, pixel_mask),)

    return _some(dataset).map(checked_batch, num_parallel_calls=tf.data.AUTOTUNE)


def _some(dataset):
    if dataset.cardinality() == 0:
        raise ValueError(NO_BATCH)
    return dataset


_NUM_AXES = {"images": 4, "pixel_mask": 3, "boxes": 3, "classes": 2}


def _with_ranks(part, name="images"):
    """Give tensors whose rank isn't known the rank that they must have, checked while reading."""
    if isinstance(part, dict):
        return {key: _with_ranks(value, key) for key, value in part.items()}
    if isinstance(part, tuple):
        return tuple(_with_ranks(entry) for entry in part)
    num_axes = _NUM_AXES.get(name)
    if num_axes is None or not tf.is_tensor(part) or part.shape.rank is not None:
        return part
    message = [f"`{name}` must have {num_axes} axes. Received the shape", tf.shape(part)]
    part = checked(part, tf.equal(tf.rank(part), num_axes), message)
    return tf.ensure_shape(part, [None] * num_axes)


def _model_inputs(images, pixel_mask):
    masks = {} if pixel_mask is None else {"pixel_mask": pixel_mask}
    return {"images": images, **masks}


def _image_ids(image_ids):
    """Return a tensor of one id an image, or None where it isn't that."""
    is_dense = tf.is_tensor(image_ids) and not isinstance(image_ids, tf.RaggedTensor)
    return image_ids if is_dense and image_ids.shape.rank == 1 else None


def _named(image_ids, rows):
    """Return what a message says of images beside their rows in the batch."""
    return [] if image_ids is None else ["with image_id", tf.gather(image_ids, rows)]


def _told(dropped_boxes, boxes, is_empty, image_ids):
    """Return the boxes; what is computed from them runs after empty ones were told of."""
    places = tf.where(is_empty)
    named = tf.constant([], tf.int64)
    if image_ids is not None:
        named = tf.gather(image_ids, places[:, 0])
    told = tf.cond(
        tf.reduce_any(is_empty),
        lambda: tf.numpy_function(
            dropped_boxes.tell, [tf.boolean_mask(boxes, is_empty), places, named], tf.bool
        ),
        lambda: tf.constant(False),
    )
    with tf.control_dependencies([told]):
        return tf.identity(boxes)


def _checked_images(images, pixel_mask, image_ids):
    shape = tf.shape(images)
    message = "`images` must have the shape (batch, height, width, 3), of at least one image."
    is_right = tf.reduce_all(shape > 0) & tf.equal(shape[-1], 3)
    images = checked(images, is_right, [message, "Received:", shape])
    images = tf.ensure_shape(images, (None, None, None, 3))
    if not images.dtype.is_integer:
        # A sum holds no copy of the images, and isn't finite if one value isn't.
        sums = tf.reduce_sum(_at_least_float32(images), axis=[1, 2, 3])
        is_broken = tf.logical_not(tf.math.is_finite(sums))
        images = checked(
            images,
            tf.logical_not(tf.reduce_any(is_broken)),
            [
                "`images` must be finite. NaN or infinity in image",
                tf.where(is_broken)[:, 0],
                "of the batch",
                *_named(image_ids, tf.where(is_broken)[:, 0]),
            ],
        )
    if pixel_mask is None:
        size = tf.cast(tf.shape(images), tf.float32)
        ones = tf.ones([tf.shape(images)[0], 1])
        return images, ones * size[1], ones * size[2]
    images = _agreeing(images, pixel_mask, 3, "`pixel_mask` must have the shape of `images`")
    mask = tf.cast(tf.not_equal(tf.cast(pixel_mask, tf.float32), 0.0), tf.float32)
    height = tf.reduce_sum(mask[:, :, 0], axis=1, keepdims=True)
    return images, height, tf.reduce_sum(mask[:, 0, :], axis=1, keepdims=True)


def _dense(boxes, classes):
    check_numbers(boxes, "boxes")
    check_numbers(classes, "classes")
    if isinstance(boxes, tf.RaggedTensor) and isinstance(classes, tf.RaggedTensor):
        num_boxes, num_classes = boxes.row_lengths(), classes.row_lengths()
        boxes = checked(
            boxes,
            tf.reduce_all(num_boxes == num_classes),
            [
                "`boxes` and `classes` must agree in length. Received, image by image:",
                num_boxes,
                num_classes,
            ],
        )
    if isinstance(boxes, tf.RaggedTensor):
        if boxes.ragged_rank > 1:
            lengths = boxes.values.row_lengths()
            boxes = checked(
                boxes,
                tf.reduce_all(lengths == 4),
                ["`boxes` must have the shape (batch, N, 4). Lengths received:", lengths],
            )
        boxes = boxes.to_tensor(default_value=-1, shape=[None, None, 4])
    if isinstance(classes, tf.RaggedTensor):
        classes = classes.to_tensor(default_value=-1)
    if boxes.shape.rank not in (None, 3) or boxes.shape[-1:] not in ([4], [None]):
        raise ValueError(
            f"`boxes` must have the shape (batch, N, 4). Received: {tuple(boxes.shape)}."
        )
    if classes.shape.rank not in (None, 2):
        raise ValueError(
            f"`classes` must have the shape (batch, N). Received: {tuple(classes.shape)}."
        )
    boxes = _agreeing(boxes, classes, 2, "`boxes` and `classes` must agree in length")
    return boxes, classes


def _checked_classes(classes, num_classes, image_ids):
    if classes.dtype.is_unsigned:
        classes = tf.cast(classes, tf.int64)
    is_wrong = (classes < tf.cast(-1, classes.dtype)) | (
        classes >= tf.cast(num_classes, classes.dtype)
    )
    if classes.dtype.is_floating:
        is_wrong |= tf.not_equal(classes, tf.round(classes))
    classes = checked(
        classes,
        tf.logical_not(tf.reduce_any(is_wrong)),
        [
            f"`classes` must be whole numbers from 0 to {num_classes - 1} (num_classes - 1), or "
            "-1 for padding. Received:",
            tf.boolean_mask(classes, is_wrong),
            "for (image, box)",
            tf.where(is_wrong),
            *_named(image_ids, tf.where(is_wrong)[:, 0]),
            "`num_classes` counts the real classes, 0-based, without background.",
        ],
    )
    return tf.cast(classes, tf.int32)


def _checked_boxes(boxes, classes, height, width, bounding_box_format, image_ids):
    boxes = tf.cast(boxes, tf.float32)
    is_real = classes >= 0
    is_broken = is_real & ~tf.reduce_all(tf.math.is_finite(boxes), axis=-1)
    boxes = checked(
        boxes,
        tf.logical_not(tf.reduce_any(is_broken)),
        [
            "`boxes` must be finite. Received:",
            tf.boolean_mask(boxes, is_broken),
            "for (image, box)",
            tf.where(is_broken),
            *_named(image_ids, tf.where(is_broken)[:, 0]),
        ],
    )
    outside = is_real & is_outside(boxes, height, width, bounding_box_format, tf)
    images = tf.where(outside)[:, 0]
    sizes = tf.cast(tf.concat([height, width], axis=1), tf.int32)
    return checked(
        boxes,
        tf.logical_not(tf.reduce_any(outside)),
        [
            "`boxes`: the box",
            tf.boolean_mask(boxes, outside),
            "lies outside its image of (height, width)",
            tf.gather(sizes, images),
            f"in the format `{bounding_box_format}`, for (image, box)",
            tf.where(outside),
            *_named(image_ids, images),
            OUTSIDE_ADVICE,
        ],
    )


def _agreeing(array, other, num_axes, message):
    """Return `array` if its first axes are as long as the other's."""
    message = f"{message}. Received the shapes"
    if not array.shape[:num_axes].is_compatible_with(other.shape[:num_axes]):
        raise ValueError(f"{message} {tuple(array.shape)} and {tuple(other.shape)}.")
    shape, other_shape = tf.shape(array), tf.shape(other)
    is_equal = tf.reduce_all(shape[:num_axes] == other_shape[:num_axes])
    return checked(array, is_equal, [message, shape, other_shape])


def _at_least_float32(images):
    return tf.cast(images, tf.float32) if images.dtype.size < 4 else images
