"""Starting values of the original, said in Keras' terms."""

import math

import keras


def torch_linear_initializers(fan_in):
    """Return the (kernel, bias) initializers that a torch layer starts with.

    Both are uniform in +-1/sqrt(fan_in).

    Args:
        fan_in: int, the number of inputs to one output.
    """
    limit = 1.0 / math.sqrt(fan_in)
    return keras.initializers.RandomUniform(-limit, limit), keras.initializers.RandomUniform(
        -limit, limit
    )


def xavier_uniform(fan_in, fan_out):
    """Return Xavier's uniform initializer for a matrix whose fans the variable's shape hides.

    Attention kernels have a head axis, from which Keras would derive other fans.

    Args:
        fan_in: int, the number of inputs.
        fan_out: int, the number of outputs.

    Source: Glorot and Bengio 2010, equation 16.
    """
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return keras.initializers.RandomUniform(-limit, limit)
