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


# The task's, until it asks `current()` itself.
def compiles_exported_programs():
    return keras.backend.backend() == "torch"


def compiled_for_shapes(model, function):
    return current().prediction_program(model, function)


def strategy_scope(model):
    return current().strategy_scope(model)


def variables_kept(model):
    return current().variables_kept(model)


def is_tensorflow_installed():
    """Return whether TensorFlow can be imported, without importing it."""
    import importlib.util

    return importlib.util.find_spec("tensorflow") is not None


def is_tensorflow_dataset(data):
    """Return whether `data` is a `tf.data.Dataset`, without importing TensorFlow."""
    modules = [cls.__module__ for cls in type(data).__mro__]
    return any(module.startswith("tensorflow.python.data.") for module in modules)


def is_data_loader(data):
    """Return whether `data` is a loader of torch or grain, without importing either."""
    modules = [cls.__module__ for cls in type(data).__mro__]
    return any(module.startswith(("torch.utils.data.", "grain.")) for module in modules)
