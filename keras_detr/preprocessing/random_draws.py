"""Random numbers for functions mapped by tf.data."""

import random

import numpy as np
import tensorflow as tf


class RandomDraws:
    """Draw random numbers inside and outside of tf.data, anew in every epoch.

    tf.random.uniform with a seed would repeat the same draws whenever an iterator is made,
    that is, in every epoch; a generator's state lives on.

    Args:
        seed: int, or None for one that follows from `keras.utils.set_random_seed`.
    """

    def __init__(self, seed=None):
        if seed is None:
            # Keras' own layers draw their seeds from Python's generator too.
            seed = random.randint(1, 10**9)
        # tf.data runs on the host: a state on an accelerator couldn't be read there.
        with tf.init_scope(), tf.device("CPU:0"):
            self._generator = tf.random.Generator.from_seed(seed)

    def uniform(self):
        """Return a float32 scalar in [0, 1)."""
        return self._generator.uniform([])

    def whole_number(self, lowest, highest):
        """Return an int32 scalar from `lowest` to `highest`, both included."""
        return self._generator.uniform([], lowest, highest + 1, tf.int32)


def spread_seed(seed, number):
    """Return a list of different seeds that follow from one; each is None where that is None."""
    if seed is None:
        return [None] * number
    return [int(state) for state in np.random.SeedSequence(seed).generate_state(number)]
