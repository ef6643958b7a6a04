"""Compute as one program where that is quicker: operation by operation, JAX compiles hundreds."""

import keras
from keras import ops


def in_one_program(function):
    """Return a function of arrays, compiled if JAX runs; what it closes over becomes constants."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def outputs_of(model, inputs, **settings):
    """Return the raw outputs of a detector as arrays of NumPy."""
    if keras.backend.backend() == "jax":
        # Variables are arguments: those of a large model would be large constants.
        values = [
            [variable.value for variable in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        ]

        def call(trainable, non_trainable, inputs):
            return model.stateless_call(trainable, non_trainable, inputs, **settings)[0]

        outputs = in_one_program(call)(*values, inputs)
    else:
        outputs = model(inputs, **settings)
    return {name: ops.convert_to_numpy(value) for name, value in outputs.items()}
