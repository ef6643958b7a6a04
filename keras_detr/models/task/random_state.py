"""The state of a model's dropout, saved with its weights.

Keras doesn't save the state of random generators. Without it, a resumed training would draw the
masks of its first steps again, and give another result than one that wasn't interrupted.
"""

import numpy as np
from keras import ops

_KEY = "random_state"
_VARIABLE = "seed_generator_state"


def save_random_state(model, store):
    """Put the state of all random generators into the store that `save_own_variables` gets."""
    generators = _generators(model)
    if generators:
        store[_KEY] = np.stack([ops.convert_to_numpy(state) for state in generators])


def load_random_state(model, store):
    """Take the state out of the store that `load_own_variables` gets, and return the rest, a dict.

    A store without one, or one of a model with other dropout, leaves the generators as they are.
    """
    others = {name: store[name] for name in store.keys() if name != _KEY}  # noqa: SIM118
    if len(others) != len(store.keys()):
        states, generators = np.asarray(store[_KEY]), _generators(model)
        if len(states) == len(generators):
            for generator, state in zip(generators, states, strict=True):
                generator.assign(state)
    return others


def _generators(model):
    return [v for v in model.non_trainable_variables if v.path.endswith(_VARIABLE)]
