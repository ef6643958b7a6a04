"""Layer normalization in one pass, with a gradient that keeps its input only."""

from keras import ops

from keras_detr.ops.group_norm import group_norm


def layer_norm(tokens, scale, offset, epsilon):
    """Normalize every token to a mean of 0 and a variance of 1, then scale and shift it.

    Computed in float32. TensorFlow's own way goes through the tokens eight times forward and a
    dozen times for the gradient.

    Args:
        tokens: float (..., size).
        scale: float32 (size,).
        offset: float32 (size,).
        epsilon: float, added to the variance.

    Returns:
        tensor like `tokens`.

    Source: Ba et al. 2016.
    """
    # A token is an image of one place, whose channels are one group.
    flat = ops.reshape(tokens, (-1, tokens.shape[-1]))
    normal = group_norm(flat, scale, offset, num_groups=1, epsilon=epsilon)
    return ops.reshape(normal, ops.shape(tokens))
