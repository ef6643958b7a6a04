"""Random numbers for functions mapped by tf.data."""

import tensorflow as tf


class RandomDraws:
    """Draw random numbers inside and outside of tf.data, anew in every epoch.

    tf.random.uniform with a seed would repeat the same draws whenever an iterator is made,
    that is, in every epoch; a generator's state lives on.

    Args:
        seed: int, or None for another sequence in every process.
    """

    def __init__(self, seed=None):
        # tf.data runs on the host: a state on an accelerator couldn't be read there.
        with tf.init_scope(), tf.device("CPU:0"):
            if seed is None:
                self._generator = tf.random.Generator.from_non_deterministic_state()
            else:
                self._generator = tf.random.Generator.from_seed(seed)

    def uniform(self):
        """Return a float32 scalar in [0, 1)."""
        return self._generator.uniform([])
