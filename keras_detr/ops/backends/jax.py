"""What JAX does faster, or must do otherwise."""

import contextlib
import functools

import jax
import keras
import numpy as np
from keras import ops

from keras_detr.ops.backends import (
    jax_devices,
    memory_saving_dropout,
    memory_saving_feed_forward,
    xla_table_rows,
)
from keras_detr.ops.backends.interface import Backend, program_key
from keras_detr.ops.backends.program_cache import ProgramCache
from keras_detr.ops.keras_internals import stored_value


class JaxBackend(Backend):
    """Compute on JAX, whose trainers compile whole steps, by XLA."""

    def __init__(self):
        self._programs = ProgramCache()

    def call_on_host(self, function, arrays, shape, dtype):
        if not any(map(_is_traced, arrays)):
            return super().call_on_host(function, arrays, shape, dtype)

        def call(*arrays):
            return function(*map(np.asarray, arrays))

        return jax.pure_callback(call, jax.ShapeDtypeStruct(shape, dtype), *arrays)

    def known_values(self, array):
        return None if _is_traced(array) else super().known_values(array)

    def run(self, function, *arrays, split_axis=None, **settings):
        values = keras.tree.flatten(settings)
        # A compiled program would take a tensor among the settings for a constant.
        if any(isinstance(x, keras.KerasTensor) for x in arrays) or any(map(ops.is_tensor, values)):
            return function(*arrays, **settings)
        program = self._programs.get(
            program_key(function, arrays, settings),
            lambda: jax.jit(functools.partial(function, **settings)),
        )
        return program(*arrays)

    dropout = memory_saving_dropout.dropout

    def dropout_mask(self, shape, rate, seed_generator):
        bits = jax.random.bits(seed_generator.next(), shape, "uint16")
        return memory_saving_dropout.dropout_mask(bits, rate)

    relu_feed_forward = memory_saving_feed_forward.relu_feed_forward

    def weighted_row_sums(self, table, indices, weights):
        return xla_table_rows.weighted_row_sums(_take, table, indices, weights)

    def weighted_row_gradients(self, table, indices, weights, upstream):
        """Go through few sums at a time on a CPU; a GPU is faster with all of them at once."""
        return jax.lax.platform_dependent(
            table,
            indices,
            weights,
            upstream,
            cpu=functools.partial(xla_table_rows.weighted_row_gradients, _take, _add),
            default=super().weighted_row_gradients,
        )

    def prediction_function(self, model):
        if keras.distribution.distribution() is None:
            return None
        return jax_devices.DividedPrediction(model)

    @contextlib.contextmanager
    def alone(self):
        """Take the distribution away, by which Keras creates arrays that all processes share."""
        distribution = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(distribution)

    process = staticmethod(jax_devices.process)
    gather_bytes = staticmethod(jax_devices.gather_bytes)
    rows_of_process = staticmethod(jax_devices.rows_of_process)

    def num_parts(self, model):
        return jax_devices.num_parts()

    def num_own_parts(self, model):
        return jax_devices.num_own_parts()

    @contextlib.contextmanager
    def variables_kept(self, model):
        """Give back the values that Keras' trainers take away from the variables while they run.

        An interrupted trainer doesn't bring them back: a single bad batch, or Ctrl-C, would cost
        the whole model.
        """
        optimizer = getattr(model, "optimizer", None)
        variables = [*model.variables, *model.metrics_variables]
        jax_devices.check_model(model, variables)
        variables += [] if optimizer is None else optimizer.variables
        _separate(variables)
        # References: the first step gives this memory away where it can.
        before = [(variable, stored_value(variable)) for variable in variables]
        try:
            yield
        except BaseException:
            model.jax_state_sync()
            for variable, value in before:
                if stored_value(variable) is None and value is not None:
                    variable.assign(value)
            raise

    def variables_apart(self, model):
        optimizer = getattr(model, "optimizer", None)
        if _has_averages(optimizer):
            _separate([*model.variables, *optimizer.variables])


def _has_averages(optimizer):
    """Return whether an optimizer, or one of those that it consists of, averages the weights."""
    parts = getattr(optimizer, "optimizers", None) or [optimizer]
    return any(getattr(part, "use_ema", False) for part in parts)


def _separate(variables):
    """Give each variable an array of its own.

    `SwapEMAWeights` ends a training with weights and averages in the same arrays. A step may give
    the memory of its variables away, but not twice, and not that of the averages.
    """
    seen = set()
    for variable in variables:
        array = stored_value(variable)
        if array is not None and id(array) in seen:
            variable.assign(jax.numpy.copy(array))
        seen.add(id(array))


def _is_traced(array):
    return isinstance(array, jax.core.Tracer)


def _take(table, index):
    # The indices are right, so nothing needs to be filled in for wrong ones.
    return table.at[index].get(mode="promise_in_bounds")


def _add(table, index, rows):
    return table.at[index].add(rows, mode="promise_in_bounds")


BACKEND = JaxBackend()
