"""Random numbers for functions mapped by tf.data."""

import contextvars
import functools
import itertools
import random

import numpy as np
import tensorflow as tf

# Within a function of `map_with_seeds`: the seed of its element, and the numbers of its draws.
_element = contextvars.ContextVar("element", default=None)


class RandomDraws:
    """Draw random numbers inside and outside of tf.data, anew in every epoch.

    tf.random.uniform with a seed would repeat the same draws whenever an iterator is made,
    that is, in every epoch; a generator's state lives on. Parallel calls of a mapped function take
    from it in the order in which they happen to run: `map_with_seeds` gives each element draws of
    its own.

    Args:
        seed: int, or None for one that follows from `keras.utils.set_random_seed`.
    """

    def __init__(self, seed=None):
        self._generator = _new_generator(seed)

    def uniform(self):
        """Return a float32 scalar in [0, 1)."""
        return self._uniform(0.0, 1.0, tf.float32)

    def whole_number(self, lowest, highest):
        """Return an int32 scalar from `lowest` to `highest`, both included."""
        return self._uniform(lowest, highest + 1, tf.int32)

    def _uniform(self, lowest, end, dtype):
        element = _element.get()
        if element is None:
            return self._generator.uniform([], lowest, end, dtype)
        seed, numbers = element
        seed = tf.random.experimental.stateless_fold_in(seed, next(numbers))
        return tf.random.stateless_uniform([], seed, lowest, end, dtype)


def map_with_seeds(function, dataset, seed=None):
    """Map a function in parallel, with random numbers that depend on each element's place only.

    The same elements in the same order so become the same, however many threads there are. Each
    iterator draws anew.

    Args:
        function: from an unbatched element to another; its `RandomDraws` draw by these seeds, not
            by their own.
        dataset: tf.data.Dataset of dicts.
        seed: int, or None for one that follows from `keras.utils.set_random_seed`.

    Returns:
        tf.data.Dataset.
    """
    return with_seeds(dataset, seed).map(
        functools.partial(drawing_from, function), num_parallel_calls=tf.data.AUTOTUNE
    )


def with_seeds(dataset, seed=None):
    """Return a data set of pairs of an element and its seed, int64 (2,), for `drawing_from`.

    Arguments are those of `map_with_seeds`.
    """
    generator = _new_generator(seed)

    def seeds_of(first):
        fold_in = tf.random.experimental.stateless_fold_in
        return tf.data.Dataset.counter().map(lambda place: fold_in(first, place))

    first = tf.data.Dataset.range(1).map(lambda _: generator.uniform_full_int([2], tf.int64))
    infinite = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    seeds = first.flat_map(seeds_of).apply(infinite)
    return tf.data.Dataset.zip(dataset, seeds)


def drawing_from(function, element, seed):
    """Call a function of an element, whose `RandomDraws` draw by a seed.

    The same function draws the same by the same seed, whatever the pixels and the boxes are.
    """
    token = _element.set((seed, itertools.count()))
    try:
        return function(element)
    finally:
        _element.reset(token)


def spread_seed(seed, number):
    """Return a list of different seeds that follow from one; each is None where that is None."""
    if seed is None:
        return [None] * number
    return [int(state) for state in np.random.SeedSequence(seed).generate_state(number)]


def _new_generator(seed):
    if seed is None:
        # Keras' own layers draw their seeds from Python's generator too.
        seed = random.randint(1, 10**9)
    # tf.data runs on the host: a state on an accelerator couldn't be read there.
    with tf.init_scope(), tf.device("CPU:0"):
        return tf.random.Generator.from_seed(seed)
