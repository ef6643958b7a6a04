"""Everything that the package asks of a Keras backend."""

import contextlib
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_detr.ops.backends.layer_computations import LayerComputations
from keras_detr.ops.backends.reserved_gpus import hide_gpus


class AdamWUpdate(NamedTuple):
    """What AdamW updates one variable with.

    Attributes:
        variable: `keras.Variable`, or the backend's own.
        momentum, velocity: `keras.Variable`s of its shape, updated too.
        gradient: tensor of its shape and dtype.
        weight_decay: float, times the learning rate what is taken off the variable.
    """

    variable: Any
    momentum: Any
    velocity: Any
    gradient: Any
    weight_decay: float = 0.0


class Process(NamedTuple):
    """Tell apart the processes that run one program together.

    Attributes:
        index: int from 0, this process.
        count: int, all processes.
    """

    index: int  # type: ignore[assignment]  # A method of tuples.
    count: int  # type: ignore[assignment]


class Backend(LayerComputations):
    """Compute what a backend may do faster, or must do otherwise, with `keras.ops` alone.

    This class is the reference, and what runs where nothing is overridden. A subclass may override
    any method; its results are the same within rounding, and so are its gradients.
    """

    # Programs and the host.

    def call_on_host(self, function, arrays, shape, dtype):
        """Run a NumPy function on arrays that may belong to a program being compiled.

        Not differentiable. TensorFlow programs compiled by XLA can't call the host.

        Args:
            function: callable that takes one NumPy array for each of `arrays` and returns one.
            arrays: list of tensors.
            shape: tuple, the shape of the result; `None` where it isn't known.
            dtype: str, the dtype of the result, a tensor of the backend.
        """
        return ops.convert_to_tensor(function(*map(ops.convert_to_numpy, arrays)), dtype)

    def call_where_fastest(
        self, on_host, in_program, arrays, shape, dtype, is_compiled_by_xla=False
    ):
        """Run a NumPy function on the host, or a function of `keras.ops` with the same result.

        By default the host is called where the arrays' values are known. Inside of a program a call
        would stop the asynchronous dispatch of the whole step; outside of one, a loop of
        `keras.ops` would be compiled anew at every call.

        Args:
            on_host, arrays, shape, dtype: see `call_on_host`.
            in_program: callable of `arrays`.
            is_compiled_by_xla: bool, whether the program is compiled with `jit_compile=True`.
        """
        values = [self.known_values(array) for array in arrays]
        if any(value is None for value in values):
            return in_program(*arrays)
        return ops.convert_to_tensor(on_host(*values), dtype)

    def repeat_while(self, condition, body, state, most_times):
        """Repeat a step as long as a condition holds.

        Args:
            condition: callable of a step's number, from 0 on, returns a bool scalar.
            body: callable of the number and a tensor, returns the next tensor. Steps beyond the
                condition do no harm.
            state: tensor.
            most_times: int.

        Returns:
            tensor like `state`.
        """
        first = ops.convert_to_tensor(0, "int32")
        _, state = ops.while_loop(
            lambda number, state: condition(number),
            lambda number, state: (number + 1, body(number, state)),
            (first, state),
            maximum_iterations=most_times,
        )
        return state

    def known_values(self, array):
        """Return the values of a tensor as a NumPy array, `None` for a program's placeholder."""
        return None if isinstance(array, keras.KerasTensor) else ops.convert_to_numpy(array)

    def known_number(self, scalar):
        """Return a scalar tensor as a number, and a program's placeholder as it is."""
        value = self.known_values(scalar)
        return scalar if value is None else value.item()

    def run(self, function, *arrays, split_axis=None, **settings):
        """Return `function(*arrays, **settings)`, compiled where a backend's loops need it.

        For functions that XLA makes one loop of, and other compilers many passes over large arrays.

        Args:
            function: callable of arrays and settings to a tuple of arrays, of `keras.ops` alone.
            *arrays: tensors.
            split_axis: int, an axis of all arguments and results along which the function can be
                computed in parts; or `None`.
            **settings: hashable, or nested tuples of int and scalar tensors.
        """
        return function(*arrays, **settings)

    def custom_gradient(self, function):
        """Let a function compute its own gradients, in the same words on all backends.

        Args:
            function: callable of tensors that returns a pair: its result, a tensor, and a callable
                from the gradient to the result to a tuple of gradients to the tensors, or to one.
        """

        @ops.custom_gradient
        def call(*tensors):
            result, gradients = function(*tensors)

            def gradients_of(*arguments, upstream=None):
                # By name on torch, where the tensors come first.
                return gradients(arguments[-1] if upstream is None else upstream)

            return result, gradients_of

        return call

    def prediction_program(self, model, predict):
        """Return a compiled function of batches, `None` where Keras compiles `predict` itself.

        Args:
            model: `keras.Model` with the variables that it computes with, whose values are read at
                each call.
            predict: callable of a tensor or of a dict of tensors.
        """
        return None

    def prediction_function(self, model):
        """Return what Keras' trainer calls in `predict` in place of its own function, or `None`.

        Args:
            model: `keras.Model`.
        """
        return None

    def compilable_steps(self, model):
        """Return the context in which Keras creates a model's functions for training."""
        return contextlib.nullcontext()

    def executions(self, model, function, is_training):
        """Return what takes `model.steps_per_execution` steps, from Keras' function that does.

        Args:
            model: `keras.Model`.
            function: callable of an iterator of batches to logs.
            is_training: bool, whether steps update the variables.

        Raises:
            ValueError: `compile` got what the backend can't do in such steps.
        """
        return function

    def check_export(self):
        """Raise `NotImplementedError`, saying what to do, unless programs can be exported."""
        raise NotImplementedError(
            "Exporting needs Keras' TensorFlow backend: save the model (`model.save('model.keras')`"
            "), load it in a process with the environment variable KERAS_BACKEND=tensorflow, and "
            "export there. Weights are the same on all backends."
        )

    # Training.

    def global_norm(self, tensors):
        """Return the root of the sum of the squares of all float32 tensors of a list."""
        return ops.sqrt(sum(ops.sum(ops.square(tensor)) for tensor in tensors))

    def adamw_steps(self, updates, update_one_by_one, step, learning_rate, betas, epsilon):
        """Update several variables as AdamW does.

        Args:
            updates: iterable of `AdamWUpdate`.
            update_one_by_one: callable without arguments that calls `adamw_step` for each, in the
                way of this backend's optimizers.
            step, learning_rate, betas, epsilon: see `adamw_step`.
        """
        update_one_by_one()

    def adamw_step(self, update, step, learning_rate, betas, epsilon):
        """Update a variable as AdamW does.

        Args:
            update: `AdamWUpdate`.
            step: int scalar, counts from 1.
            learning_rate: float scalar.
            betas: pair of float.
            epsilon: float, added to the root of the velocity before its bias is corrected.

        Source: Loshchilov & Hutter 2019, algorithm 2.
        """
        variable, momentum, velocity, gradient, weight_decay = update
        old, mean, square = map(ops.convert_to_tensor, (variable, momentum, velocity))
        step, learning_rate = (ops.cast(number, old.dtype) for number in (step, learning_rate))
        corrections = [1.0 - ops.power(ops.cast(beta, old.dtype), step) for beta in betas]
        rate = learning_rate * ops.sqrt(corrections[1]) / corrections[0]
        mean = mean + (gradient - mean) * (1.0 - betas[0])
        square = square + (ops.square(gradient) - square) * (1.0 - betas[1])
        kept = old * (1.0 - learning_rate * weight_decay)
        momentum.assign(mean)
        velocity.assign(square)
        variable.assign(kept - rate * mean / (ops.sqrt(square) + epsilon))

    def strategy_scope(self, model):
        """Return the context in which variables for training a model are to be created."""
        return contextlib.nullcontext()

    def variables_kept(self, model):
        """Return a context in which an error leaves a model the variables of its last good step.

        The model's `fit`, `evaluate` or `predict` runs inside.
        """
        return contextlib.nullcontext()

    def variables_apart(self, model):
        """Let a single step use the variables of a model whose weights are averaged.

        `train_on_batch`, `test_on_batch` or `predict_on_batch` follows.
        """

    # Devices and processes.

    def reserve_gpus(self, config):
        """Keep TensorFlow off the GPUs where it only reads data.

        See `reserved_gpus.hide_gpus`. A backend that computes with TensorFlow does nothing.

        Args:
            config: the module `tensorflow.config`.
        """
        hide_gpus(config)

    def process(self):
        """Return the `Process` that this is, of those that train, evaluate and predict together."""
        return Process(0, 1)

    def join_processes(self):
        """Note the distribution in whose scope a model is built, or refuse it.

        Raises:
            NotImplementedError: it can't train.
        """

    def alone(self):
        """Return the context in which this process computes without the others."""
        return contextlib.nullcontext()

    def predicting(self, model):
        """Return the context in which Keras' `predict` runs, with a `prediction_function`."""
        return self.alone()

    def gather_bytes(self, data):
        """Return what all processes pass, in their order; each process calls this at one place.

        Args:
            data: bytes, of a length of its own in each process.

        Returns:
            list of bytes, the same in every process.
        """
        return [data]

    def num_parts(self, model):
        """Return into how many equal parts a model's batches are divided in `fit` and `evaluate`.

        `None` where they aren't, and may have any size.
        """
        return None

    def num_own_parts(self, model):
        """Return how many of the `num_parts`, where batches are divided, are this process'."""
        return self.num_parts(model)

    def divided_rows(self, model, dataset):
        """Return what a trainer takes where each process reads its rows of every batch itself.

        Args:
            model: `keras.Model`.
            dataset: `tf.data.Dataset` of these rows, which `num_own_parts` divides.
        """
        return dataset

    def rows_of_process(self, num_rows):
        """Return which rows of a batch that `num_parts` divides are this process', int (rows,)."""
        return np.arange(num_rows)

    def num_replicas(self):
        """Return how many replicas run this step, each with a part of the batch.

        Distributions of `keras.distribution` (JAX) compute with global arrays: there one program
        sees the whole batch, and is one replica.
        """
        return 1

    def sum_over_replicas(self, value):
        """Sum a float tensor, of the same shape on every replica, over all of them.

        All replicas call this at one place. It isn't for what gradients pass through.
        """
        return value

    def loss_of_replica(self, loss):
        """Scale the loss that a replica computes for the way in which gradients are combined.

        Args:
            loss: float tensor whose mean over the replicas is the loss of the whole batch.

        Returns:
            tensor like `loss`, of which a replica computes its gradients: divided by the number of
            replicas where these are summed (`tf.distribute`), and as it is where they are averaged
            (`torch.nn.parallel.DistributedDataParallel`).
        """
        return loss

    def logs_of_replica(self, logs):
        """Return the logs of a step, the same on all replicas, as Keras' trainer can combine them.

        Args:
            logs: dict of float scalars.
        """
        return logs

    def gradient_of_batch(self, gradient):
        """Return the gradient to the loss of the whole batch, from what an optimizer gets.

        Args:
            gradient: tensor, the gradient to a variable as `optimizer.apply` gets it: a replica's
                own (`tf.distribute`, whose optimizers sum them), or combined already
                (`DistributedDataParallel`, whose `backward` does).

        Returns:
            tensor like `gradient`, the same on every replica.
        """
        return gradient

    def check_training(self):
        """Raise `NotImplementedError`, saying what to do, unless Keras trains on all processes.

        `fit`, `evaluate` and the like call this.
        """


def program_key(function, arrays, settings):
    """Return what tells the programs of `Backend.run` apart: function, shapes, dtypes, settings.

    Scalar tensors among the settings don't count: they are arguments of the program.
    """
    shapes = tuple((tuple(array.shape), str(array.dtype)) for array in arrays)
    is_tensor = ops.is_tensor
    fixed = keras.tree.map_structure(lambda x: None if is_tensor(x) else x, settings)
    return function, shapes, repr(fixed)
