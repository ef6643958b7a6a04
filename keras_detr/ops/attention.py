"""Attention of several heads: scores, softmax and sums of values."""

import math

from keras import ops

from keras_detr.ops import backends

# Of one head: with fewer, all heads are computed at once; more are divided among blocks of queries.
FEWEST_WEIGHTS, MOST_WEIGHTS = 2**18, 2**21


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


def attended(query, key, value, bias=None):
    """Return the sums of `attend` alone, in the way that is the fastest without the weights.

    That is a kernel of the backend's own, or so few sums at a time that weights stay in the cache.

    Arguments: those of `attend`.
    """
    if backends.has_attention_kernel():
        return backends.attention_kernel(query, key, value, bias)
    if not backends.prefers_parts_in_cache():
        return attend(query, key, value, bias)[0]
    num_heads, num_targets = query.shape[1:3]
    num_weights = None if None in (num_targets, key.shape[3]) else num_targets * key.shape[3]
    if num_weights is not None and num_weights < FEWEST_WEIGHTS:
        return attend(query, key, value, bias)[0]
    arrays = (query, key, value)
    heads = list(zip(*(ops.split(array, num_heads, axis=1) for array in arrays), strict=True))
    if query.shape[0] != 1:
        sums = [_attend_in_blocks(*head, bias, num_weights) for head in heads]
        return ops.concatenate(sums, axis=1)
    # Matrices are multiplied faster than batches of one.
    heads = [[ops.squeeze(array, (0, 1)) for array in head] for head in heads]
    bias = None if bias is None else ops.squeeze(bias, (0, 1))
    sums = [_attend_in_blocks(*head, bias, num_weights) for head in heads]
    return ops.expand_dims(ops.stack(sums), 0)


def _attend_in_blocks(query, key, value, bias, num_weights):
    """Return the sums of `attend` for one head, whose arrays may lack batch and heads."""
    if num_weights is None or num_weights <= MOST_WEIGHTS:
        return attend(query, key, value, bias)[0]
    num_targets = query.shape[-2]
    size = -(-num_targets // math.ceil(num_weights / MOST_WEIGHTS))
    blocks = [slice(start, start + size) for start in range(0, num_targets, size)]
    is_shared = bias is None or bias.shape[-2] == 1
    sums = [
        attend(query[..., block, :], key, value, bias if is_shared else bias[..., block, :])[0]
        for block in blocks
    ]
    return ops.concatenate(sums, axis=-2)
