"""Attention of several heads: scores, softmax and sums of values."""

from keras import ops


def attend(query, key, value, bias=None, drop=None):
    """Sum values by the softmax, computed in float32, of scores.

    Args:
        query: (batch, heads, targets, size), scaled.
        key: (batch, heads, size, sources).
        value: (batch, heads, sources, size).
        bias: float32 (batch or 1, 1, targets or 1, sources), added to scores; or `None`.
        drop: callable that drops some of the weights, or `None`.

    Returns:
        pair of sums (batch, heads, targets, size), and of weights, float32 (batch, heads, targets,
        sources).

    Source: Vaswani et al. 2017, equation 1.
    """
    scores = ops.cast(ops.matmul(query, key), "float32")
    weights = ops.softmax(scores if bias is None else scores + bias, axis=-1)
    kept = ops.cast(weights, value.dtype)
    return ops.matmul(kept if drop is None else drop(kept), value), weights
