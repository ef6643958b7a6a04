"""The one room that asks which Keras backend runs.

Everything here is a fact about the backend that `keras.ops` doesn't abstract: calls to the host
from inside a compiled program, and sums over the replicas of a distribution strategy.
"""

import contextlib
import importlib.util
import sys

import keras
import numpy as np


def call_on_host(function, arrays, shape, dtype):
    """Run a NumPy function on arrays that may belong to a program being compiled.

    Not differentiable. TensorFlow programs compiled by XLA can't call the host.

    Args:
        function: callable that takes one NumPy array for each of `arrays` and returns one.
        arrays: list of tensors.
        shape: tuple, the shape of the result; `None` where it isn't known.
        dtype: str, the dtype of the result.

    Returns:
        A tensor of the backend.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if tf.executing_eagerly():
            return tf.convert_to_tensor(function(*(np.asarray(a) for a in arrays)), dtype)
        result = tf.numpy_function(function, arrays, dtype, stateful=False)
        result.set_shape(shape)
        return result
    if backend == "jax":
        import jax

        if any(isinstance(array, jax.core.Tracer) for array in arrays):
            spec = jax.ShapeDtypeStruct(shape, dtype)
            return jax.pure_callback(
                lambda *args: function(*(np.asarray(a) for a in args)), spec, *arrays
            )
    return keras.ops.convert_to_tensor(
        function(*(keras.ops.convert_to_numpy(array) for array in arrays)), dtype
    )


def prefers_host_calls(array, is_compiled_by_xla=False):
    """Return whether a host call is the faster and safer way to compute something from `array`.

    It is on torch and on TensorFlow outside XLA, whose programs can't make one. In a program of
    JAX it would stop the asynchronous dispatch of the whole step; outside of one, a loop of
    `keras.ops` would be compiled anew at every call.

    Args:
        array: tensor.
        is_compiled_by_xla: bool, whether the program is compiled with `jit_compile=True`.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return not is_compiled_by_xla
    return backend == "torch" or is_concrete(array)


def is_concrete(array):
    """Return whether the values of a tensor can be read now (not a placeholder of a program)."""
    backend = keras.backend.backend()
    if isinstance(array, keras.KerasTensor):
        return False
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.executing_eagerly() or not tf.is_tensor(array)
    if backend == "jax":
        import jax

        return not isinstance(array, jax.core.Tracer)
    return True


def num_replicas():
    """Return the number of replicas that run this step under `tf.distribute`, else 1.

    Distributions of `keras.distribution` (JAX) compute with global arrays, so there one program
    sees the whole batch.
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(value):
    """Sum a tensor over the replicas of `tf.distribute`; the tensor itself elsewhere.

    Args:
        value: float tensor, of the same shape on every replica.
    """
    if num_replicas() == 1:
        return value
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def strategy_scope(model):
    """Return the context in which variables for training a model are to be created.

    Args:
        model: `keras.Model`. On TensorFlow it knows the `tf.distribute` strategy it was built with.
    """
    strategy = getattr(model, "distribute_strategy", None)
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def is_tensorflow_installed():
    """Return whether TensorFlow can be imported, without importing it."""
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"] is not None
    return importlib.util.find_spec("tensorflow") is not None


def is_tensorflow_dataset(data):
    """Return whether `data` is a `tf.data.Dataset`, without importing TensorFlow."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(data, tensorflow.data.Dataset)
