"""Sums of float32 over images and queries, by layer."""

from keras import ops


def sum_by_layer(values):
    """Sum the values of every layer, those of each image first.

    TensorFlow adds numbers one after the other. One sum over the focal loss of 6 layers of 300
    queries and 91 classes is wrong by 1e-4; in two steps by 1e-7, and in less time.

    Args:
        values: float32 (batch, layers, queries, ...).

    Returns:
        float32 (layers,).
    """
    return ops.sum(ops.sum(values, axis=tuple(range(2, len(values.shape)))), axis=0)


def weigh_images(values, image_weights):
    """Multiply each image's values by its weight.

    Args:
        values: list of float32 (batch, ...).
        image_weights: float32 (batch,), or `None`, which leaves the values as they are.
    """
    if image_weights is None:
        return values
    shapes = ((-1, *[1] * (len(value.shape) - 1)) for value in values)
    return [
        value * ops.reshape(image_weights, shape)
        for value, shape in zip(values, shapes, strict=True)
    ]
