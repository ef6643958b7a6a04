"""The one package that knows which Keras backend runs.

`current().layer_norm(...)` computes in the way that is fastest there; see `interface.Backend` for
everything that can be computed.
"""

import functools
import importlib

import keras

from keras_detr.ops.backends.portable import portable_backend

__all__ = ["current"]


def current():
    """Return the `Backend` that computes here: that of Keras, or the one of `portable_programs`."""
    return portable_backend() or _backend_named(keras.backend.backend())


@functools.cache
def _backend_named(name):
    module = importlib.import_module(f"{__name__}.{name}")
    return module.BACKEND
