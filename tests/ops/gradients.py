"""Gradients, in the way of the backend that runs."""

import keras
import numpy as np
from keras import ops


def value_and_gradients(function, *arrays):
    """Return a scalar function's value and its gradients to all arguments, as NumPy arrays.

    Args:
        function: callable that takes one tensor for each of `arrays` and returns a scalar.
        arrays: float NumPy arrays.
    """
    backend = keras.backend.backend()
    tensors = [ops.convert_to_tensor(array, "float32") for array in arrays]
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        gradients = tape.gradient(value, tensors, unconnected_gradients="zero")
    elif backend == "jax":
        import jax

        value, gradients = jax.value_and_grad(function, tuple(range(len(tensors))))(*tensors)
    elif backend == "torch":
        import torch

        tensors = [tensor.requires_grad_(True) for tensor in tensors]
        value = function(*tensors)
        gradients = torch.autograd.grad(value, tensors, allow_unused=True, materialize_grads=True)
    else:
        raise NotImplementedError(f"no gradients on {backend}")
    value, *gradients = (np.asarray(ops.convert_to_numpy(x)) for x in (value, *gradients))
    return float(value), gradients


def compiled(function, jit_compile=True):
    """Return the function as a program of the backend; on torch the function itself.

    Args:
        function: callable that takes tensors.
        jit_compile: bool, whether TensorFlow compiles with XLA; JAX always does.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=jit_compile)
    if backend == "jax":
        import jax

        return jax.jit(function)
    return function
