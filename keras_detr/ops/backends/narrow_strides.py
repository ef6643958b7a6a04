"""A guard against memory that oneDNN damages, for TensorFlow and torch."""

# oneDNN's gradient of a strided 1x1 convolution (AVX512, channels last) writes past its memory if a
# map has fewer channels than a vector has numbers. Programs end with SIGSEGV, or go on.
FEWEST_STRIDED_CHANNELS = 16


def unstrided(inputs, kernel, strides):
    """Return inputs and strides of the same convolution, which no strides of oneDNN compute.

    Args:
        inputs: (batch, height, width, channels).
        kernel: (rows, columns, channels / groups, filters).
        strides: pair of int.

    Returns:
        pair of inputs and strides. A 1x1 convolution of few channels gets the pixels that it reads,
        and strides of 1; others stay as they are.
    """
    is_strided_1x1 = max(strides) > 1 and kernel.shape[:2] == (1, 1)
    if is_strided_1x1 and inputs.shape[-1] < FEWEST_STRIDED_CHANNELS:
        return inputs[:, :: strides[0], :: strides[1]], (1, 1)
    return inputs, strides
