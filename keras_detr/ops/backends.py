"""The one room that asks which Keras backend runs.

Everything here is a fact about the backend that `keras.ops` doesn't abstract: calls to the host
from inside a compiled program, and sums over the replicas of a distribution strategy.
"""

import contextlib
import functools
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


def compiled_by_xla(function):
    """Let XLA compile a function of `keras.ops` where a program isn't compiled by it anyway.

    For what takes XLA one loop, and the backend many passes over large arrays. On torch the
    function stays as it is.

    Args:
        function: callable of tensors as positional arguments, and of hashable keyword arguments
            that shape the program. Keyword arguments may hold tensors too, on TensorFlow.
    """
    compiled = {}

    @functools.wraps(function)
    def call(*tensors, **settings):
        backend = keras.backend.backend()
        if backend == "torch" or any(isinstance(array, keras.KerasTensor) for array in tensors):
            return function(*tensors, **settings)
        if backend not in compiled:
            compiled[backend] = _XLA_COMPILERS[backend](function, settings)
        return compiled[backend](*tensors, **settings)

    return call


def _compile_tensorflow(function, settings):
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)


def _compile_jax(function, settings):
    import jax

    return jax.jit(function, static_argnames=tuple(settings))


_XLA_COMPILERS = {"tensorflow": _compile_tensorflow, "jax": _compile_jax}


def weighted_row_sums(table, indices, weights):
    """Sum rows of a table, each times a weight: sum over i and k of w[i][n, k] * table[j[i][n, k]].

    Args:
        table: float (rows, size).
        indices: list of int32 (sums, terms), in [0, rows).
        weights: list of float32 (sums, terms), one for each of `indices`.

    Returns:
        float32 (sums, size).
    """
    backend = keras.backend.backend()
    if backend == "torch":
        # The backend itself has imported it.
        return sys.modules["torch"].nn.functional.embedding_bag(
            keras.ops.concatenate(indices, axis=1),
            keras.ops.cast(table, "float32"),
            per_sample_weights=keras.ops.concatenate(weights, axis=1),
            mode="sum",
        )
    take, add = _ROW_ACCESS[backend]()
    count = len(indices)

    @keras.ops.custom_gradient
    def weighted_sums(table, *terms):
        indices, weights = terms[:count], terms[count:]
        # One term at a time: XLA makes a single loop of it that reads whole rows.
        sums = sum(
            keras.ops.cast(take(table, index[:, k]), "float32") * weight[:, k, None]
            for k in range(indices[0].shape[1])
            for index, weight in zip(indices, weights, strict=True)
        )

        def gradients(*upstream, **_):
            upstream = upstream[-1]
            row_gradients = keras.ops.zeros(keras.ops.shape(table), "float32")
            weight_gradients = []
            for index, weight in zip(indices, weights, strict=True):
                rows = keras.ops.cast(take(table, index), "float32")
                weight_gradients.append(_dot(rows, upstream[:, None]))
                row_gradients = add(row_gradients, index, upstream[:, None] * weight[..., None])
            table_gradient = keras.ops.cast(row_gradients, table.dtype)
            return (table_gradient, *(None for _ in indices), *weight_gradients)

        return sums, gradients

    return weighted_sums(table, *indices, *weights)


def _dot(rows, others, num_parts=4):
    """Multiply and sum over the last axis, in a few parts: a single sum waits for each addition."""
    size = rows.shape[-1]
    num_parts = num_parts if size % num_parts == 0 else 1
    step = size // num_parts
    return sum(
        keras.ops.sum(rows[..., i : i + step] * others[..., i : i + step], axis=-1)
        for i in range(0, size, step)
    )


def _tensorflow_rows():
    import tensorflow as tf

    def add(table, index, rows):
        return tf.tensor_scatter_nd_add(table, index[..., None], rows)

    return tf.gather, add


def _jax_rows():
    # The indices are right, so nothing needs to be filled in for wrong ones.
    mode = "promise_in_bounds"
    return (
        lambda table, index: table.at[index].get(mode=mode),
        lambda table, index, rows: table.at[index].add(rows, mode=mode),
    )


_ROW_ACCESS = {"tensorflow": _tensorflow_rows, "jax": _jax_rows}


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
