"""Apply a function of one element to every element of a batch, dense or ragged."""

import tensorflow as tf

from keras_detr.preprocessing.padding import padded_boxes


def is_batched(element):
    """Return whether an element holds several images, in a dense or a ragged tensor."""
    images = element["images"]
    return isinstance(images, tf.RaggedTensor) or images.shape.rank == 4


def map_batch(function, batch, is_size_random=False):
    """Apply a function of one element to every element of a batch.

    The function sees images one at a time and boxes without padding. Ragged entries come back
    ragged, unless their new shape is the same for every element. Dense boxes come back dense, with
    as many rows as before: -1, and class -1, where the function left fewer.

    Args:
        function: from dict of tensors to dict of tensors.
        batch: dict of tensors and ragged tensors, the first axis of each is the batch.
        is_size_random: bool, whether images of one size may come back in several sizes.

    Returns:
        dict of tensors and ragged tensors.
    """
    num_rows = _num_dense_rows(batch)

    def transform(element):
        if "bounding_boxes" in element:
            boxes = _without_padding(element["bounding_boxes"], tf.shape(element["images"])[:2])
            element = {**element, "bounding_boxes": boxes}
        result = function(element)
        if num_rows is not None and result["bounding_boxes"]["classes"].shape[0] is None:
            boxes = padded_boxes(result["bounding_boxes"], num_rows)
            result = {**result, "bounding_boxes": boxes}
        return result

    specs = tf.nest.map_structure(_element_spec, batch)
    traced = tf.function(transform, autograph=False).get_concrete_function(specs)
    outputs = traced.structured_outputs
    has_sizes = isinstance(batch["images"], tf.RaggedTensor) or is_size_random
    signature = tf.nest.map_structure(_dense_signature, outputs)
    signature["images"] = _signature(outputs["images"], has_sizes)
    if "bounding_boxes" in outputs:
        signature["bounding_boxes"] = {
            key: _signature(rows, num_rows is None or (key == "masks" and has_sizes))
            for key, rows in outputs["bounding_boxes"].items()
        }

    def transform_dense(element):
        result = traced(tf.nest.map_structure(_to_dense, element))
        return tf.nest.map_structure(_as_signature, result, signature)

    # Eagerly, `map_fn` would leave a loop of Python behind.
    mapped = tf.function(
        lambda batch: tf.map_fn(transform_dense, batch, fn_output_signature=signature),
        autograph=False,
    )
    return mapped(batch)


def _num_dense_rows(batch):
    """Return the number of rows of padded boxes, None where there are none or they are ragged."""
    classes = batch.get("bounding_boxes", {}).get("classes")
    if classes is None or isinstance(classes, tf.RaggedTensor):
        return None
    return classes.shape[1] if classes.shape[1] is not None else tf.shape(classes)[1]


def _element_spec(array):
    return tf.TensorSpec(array.shape[1:], array.dtype)


def _to_dense(array):
    return array.to_tensor() if isinstance(array, tf.RaggedTensor) else array


def _without_padding(bounding_boxes, image_size):
    is_real = bounding_boxes["classes"] >= 0
    if "masks" in bounding_boxes:
        # An image without boxes has lost the size of its masks in a ragged batch.
        shape = tf.concat([tf.shape(is_real), image_size], axis=0)
        masks = tf.reshape(bounding_boxes["masks"], shape)
        bounding_boxes = {**bounding_boxes, "masks": masks}
    return {key: tf.boolean_mask(rows, is_real) for key, rows in bounding_boxes.items()}


def _dense_signature(output):
    return tf.TensorSpec(output.shape, output.dtype)


def _signature(output, is_ragged):
    shape = output.shape
    if shape.is_fully_defined() or not is_ragged:
        return _dense_signature(output)
    last_free = max(axis for axis, length in enumerate(shape) if length is None)
    return tf.RaggedTensorSpec(shape, output.dtype, ragged_rank=last_free)


def _as_signature(array, spec):
    if isinstance(spec, tf.RaggedTensorSpec) and spec.ragged_rank:
        return tf.RaggedTensor.from_tensor(array, ragged_rank=spec.ragged_rank)
    return array
