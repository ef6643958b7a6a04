"""Layer normalization in one pass, with a gradient that keeps its input only."""

from keras import ops

from keras_detr.ops import backends


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
    flat = ops.reshape(tokens, (-1, tokens.shape[-1]))

    @backends.custom_gradient
    def normalize(tokens, scale, offset):
        def gradients(upstream):
            return _gradients(tokens, scale, upstream, epsilon=epsilon)

        return _normalized(tokens, scale, offset, epsilon=epsilon), gradients

    return ops.reshape(normalize(flat, scale, offset), ops.shape(tokens))


@backends.compiled_by_xla
def _normalized(tokens, scale, offset, epsilon):
    normal, _ = _normal(tokens, epsilon)
    return ops.cast(normal * scale + offset, tokens.dtype)


@backends.compiled_by_xla
def _gradients(tokens, scale, upstream, epsilon):
    """Return the gradients to tokens, scale and offset."""
    normal, inverse = _normal(tokens, epsilon)
    upstream = ops.cast(upstream, "float32")
    scaled = upstream * scale
    along = ops.mean(scaled * normal, axis=-1, keepdims=True)
    to_tokens = inverse * (scaled - ops.mean(scaled, axis=-1, keepdims=True) - normal * along)
    return (
        ops.cast(to_tokens, tokens.dtype),
        ops.sum(upstream * normal, axis=0),
        ops.sum(upstream, axis=0),
    )


def _normal(tokens, epsilon):
    """Return tokens of mean 0 and variance 1, and what they were multiplied with."""
    tokens = ops.cast(tokens, "float32")
    centered = tokens - ops.mean(tokens, axis=-1, keepdims=True)
    inverse = ops.rsqrt(ops.mean(ops.square(centered), axis=-1, keepdims=True) + epsilon)
    return centered * inverse, inverse
