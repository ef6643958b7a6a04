"""Normalization in two passes, with a gradient that keeps its input only, for TensorFlow.

TensorFlow's own reductions go through a map eight times forward and a dozen times for the gradient.
"""

from keras import ops


def group_norm(backend, features, scale, offset, num_groups, epsilon):
    """Normalize as `Backend.group_norm` does; arguments are those, after the backend."""
    channels = features.shape[-1]
    grouped = (ops.shape(features)[0], -1, num_groups, channels // num_groups)

    @backend.custom_gradient
    def normalize(features, scale, offset):
        def gradients(upstream):
            return backend.run(_gradients, features, scale, upstream, epsilon=epsilon)

        return backend.run(_normalized, features, scale, offset, epsilon=epsilon)[0], gradients

    normal = normalize(
        ops.reshape(features, grouped),
        *(ops.reshape(ops.cast(factor, "float32"), grouped[2:]) for factor in (scale, offset)),
    )
    return ops.reshape(normal, ops.shape(features))


def layer_norm(backend, tokens, scale, offset, epsilon):
    """Normalize as `Backend.layer_norm` does; arguments are those, after the backend."""
    # A token is an image of one place, whose channels are one group.
    flat = ops.reshape(tokens, (-1, tokens.shape[-1]))
    normal = group_norm(backend, flat, scale, offset, num_groups=1, epsilon=epsilon)
    return ops.reshape(normal, ops.shape(tokens))


def _normalized(features, scale, offset, epsilon):
    normal, _ = _normal(features, epsilon)
    return (ops.cast(normal * scale + offset, features.dtype),)


def _gradients(features, scale, upstream, epsilon):
    """Return the gradients to features, scale and offset."""
    normal, inverse = _normal(features, epsilon)
    upstream = ops.cast(upstream, "float32")
    scaled = upstream * scale
    along = ops.mean(scaled * normal, axis=(1, 3), keepdims=True)
    to_features = inverse * (scaled - ops.mean(scaled, axis=(1, 3), keepdims=True) - normal * along)
    return (
        ops.cast(to_features, features.dtype),
        ops.sum(upstream * normal, axis=(0, 1)),
        ops.sum(upstream, axis=(0, 1)),
    )


def _normal(features, epsilon):
    """Return features of mean 0 and variance 1, and what they were multiplied with."""
    features = ops.cast(features, "float32")
    centered = features - ops.mean(features, axis=(1, 3), keepdims=True)
    inverse = ops.rsqrt(ops.mean(ops.square(centered), axis=(1, 3), keepdims=True) + epsilon)
    return centered * inverse, inverse
