"""The feed-forward network of a transformer, with a gradient that keeps little."""

from keras import ops

from keras_detr.ops import backends
from keras_detr.ops.dropout import dropout_mask


def relu_feed_forward(tokens, kernels, biases, rate, seed_generator):
    """Widen every token, set negative numbers to zero, drop some by chance, and narrow it again.

    Of the wide tokens, the largest arrays of a transformer, one is kept for the gradient: where it
    isn't zero, gradients pass both the activation and the dropout.

    Args:
        tokens: float (number, size).
        kernels: pair of float (size, width) and (width, new size).
        biases: pair of float (width,) and (new size,).
        rate: float in [0, 1), the probability with which a number of the wide tokens is dropped.
        seed_generator: `keras.random.SeedGenerator`; `None` without dropout.

    Returns:
        float (number, new size).

    Source: Vaswani et al. 2017, section 3.3.
    """
    is_kept, scale = None, 1.0
    if rate:
        shape = (ops.shape(tokens)[0], kernels[0].shape[1])
        is_kept, scale = dropout_mask(shape, rate, seed_generator)

    @backends.custom_gradient
    def transform(tokens, widen, bias, narrow, last_bias):
        # Scaled is the kernel, which is small.
        narrow = narrow * scale
        wide = ops.relu(backends.add_channel_bias(ops.matmul(tokens, widen), bias))
        if is_kept is not None:
            wide = backends.thinned(wide, is_kept)

        def gradients(upstream):
            to_wide = ops.matmul(upstream, ops.transpose(narrow))
            to_wide = backends.relu_gradient(to_wide, wide)
            # This way round the product of two long matrices takes two thirds of the time.
            to_narrow = ops.transpose(ops.matmul(ops.transpose(upstream), wide))
            return (
                ops.matmul(to_wide, ops.transpose(widen)),
                ops.matmul(ops.transpose(tokens), to_wide),
                backends.sum_of_rows(to_wide),
                to_narrow * scale,
                backends.sum_of_rows(upstream),
            )

        return backends.add_channel_bias(ops.matmul(wide, narrow), last_bias), gradients

    return transform(tokens, kernels[0], biases[0], kernels[1], biases[1])
