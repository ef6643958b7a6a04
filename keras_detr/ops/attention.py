"""Attention of several heads: scores, softmax and sums of values."""

from keras import ops


def attend(query, key, value, bias=None, drop=None):
    """Compute what `Backend.attention` does, and the weights that it is computed with.

    Args:
        query, key, value, bias: see there.
        drop: callable that drops some of the weights, or `None`.

    Returns:
        pair of sums (batch, heads, targets, size), and of weights, float32 (batch, heads, targets,
        sources).
    """
    scores = ops.cast(ops.matmul(query, key), "float32")
    weights = ops.softmax(scores if bias is None else scores + bias, axis=-1)
    kept = ops.cast(weights, value.dtype)
    return ops.matmul(kept if drop is None else drop(kept), value), weights
