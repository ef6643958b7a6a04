"""What is logged of one layer's predictions beside the loss."""

from keras import ops

from keras_detr.ops.backends import current


def logged_errors(classification, logits, queries, objects, image_weights=None):
    """Return the errors of one layer, over all replicas of a distribution.

    Args:
        classification: `SoftmaxClassification` or `FocalClassification`.
        logits: float32 (batch, queries, ...).
        queries: int32 (batch, objects), the query of each object, -1 for padding.
        objects: `TargetObjects`.
        image_weights: float32 (batch,), 0 for images that only fill up the batch; or `None`.

    Returns:
        dict of float32 scalars, "class_error" and "cardinality_error", see
        `HungarianLoss.components`.
    """
    of_objects = ops.take_along_axis(logits, ops.expand_dims(ops.maximum(queries, 0), -1), axis=1)
    names_class = ops.equal(ops.cast(ops.argmax(of_objects, -1), "int32"), objects.classes)
    is_right = ops.cast(ops.logical_and(names_class, objects.is_object), "float32")
    num_objects = ops.cast(objects.num_objects, "float32")
    num_predicted = ops.sum(ops.cast(classification.is_object(logits), "float32"), axis=-1)
    if image_weights is None:
        image_weights = ops.ones_like(num_objects)
    # A replica may have no image, or none with an object.
    sums = [
        ops.sum(is_right),
        ops.sum(num_objects),
        ops.sum(ops.abs(num_predicted - num_objects) * image_weights),
        ops.sum(image_weights),
    ]
    num_right, num_objects, difference, num_images = ops.unstack(
        current().sum_over_replicas(ops.stack(sums)), 4
    )
    accuracy = num_right / ops.maximum(num_objects, 1.0)
    return {
        "class_error": 100.0 * (1.0 - accuracy),
        "cardinality_error": difference / ops.maximum(num_images, 1.0),
    }
