"""Dropout with few random bits."""

import keras
from keras import ops

from keras_detr.ops import backends

_NUM_VALUES = 2**16


def dropout(inputs, rate, seed_generator):
    """Set numbers to zero by chance, and scale the others so that the expected sum stays.

    Besides the inputs only the mask is kept for the gradient.

    Args:
        inputs: float tensor.
        rate: float in [0, 1), the probability of zero.
        seed_generator: `keras.random.SeedGenerator`.

    Returns:
        tensor like `inputs`.

    Source: Srivastava et al. 2014.
    """
    if backends.has_fast_dropout(inputs):
        return keras.random.dropout(inputs, rate, seed=seed_generator)
    is_kept, scale = dropout_mask(ops.shape(inputs), rate, seed_generator)

    def keep(numbers):
        return backends.thinned(numbers * scale, is_kept)

    return backends.custom_gradient(lambda inputs: (keep(inputs), keep))(inputs)


def dropout_mask(shape, rate, seed_generator):
    """Draw what is kept.

    Args:
        shape: tuple of int or scalar tensors.
        rate: float in [0, 1), the probability of zero; rounded to a multiple of 2**-16.
        seed_generator: `keras.random.SeedGenerator`.

    Returns:
        pair of a bool tensor of that shape, and float, what numbers that are kept are to be
        multiplied with.
    """
    # At least one of the values is kept.
    num_dropped = min(round(rate * _NUM_VALUES), _NUM_VALUES - 1)
    is_kept = backends.random_mask(shape, num_dropped, seed_generator.next())
    return is_kept, _NUM_VALUES / (_NUM_VALUES - num_dropped)
