"""What TensorFlow does faster, or must do otherwise."""

import functools
import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_detr.ops.backends import (
    memory_saving_attention,
    memory_saving_dropout,
    memory_saving_feed_forward,
    tensorflow_devices,
    tensorflow_norms,
    xla_table_rows,
)
from keras_detr.ops.backends.interface import Backend, program_key
from keras_detr.ops.backends.narrow_strides import unstrided
from keras_detr.ops.backends.program_cache import ProgramCache
from keras_detr.ops.keras_internals import with_strategy

# A loop of XLA runs on one core; TensorFlow runs several programs at a time.
NUM_PARALLEL_PROGRAMS = 4
# The weights of one head's attention: with fewer, all heads are computed at once; with more, its
# queries are divided into blocks.
FEWEST_WEIGHTS, MOST_WEIGHTS = 2**18, 2**21
# What a part of a convolution's kernel may take of the cache.
MOST_BYTES_OF_KERNEL = 2**19 + 2**17


class TensorFlowBackend(Backend):
    """Compute on TensorFlow, whose programs XLA compiles in parts."""

    def __init__(self):
        self._programs = ProgramCache()
        self._workers = tensorflow_devices.Workers()

    # Programs and the host.

    def call_on_host(self, function, arrays, shape, dtype):
        if tf.executing_eagerly():
            return tf.convert_to_tensor(function(*map(np.asarray, arrays)), dtype)
        result = tf.numpy_function(function, arrays, dtype, stateful=False)
        result.set_shape(shape)
        return result

    def call_where_fastest(
        self, on_host, in_program, arrays, shape, dtype, is_compiled_by_xla=False
    ):
        # A loop in the graph takes longer than the call.
        if is_compiled_by_xla:
            return in_program(*arrays)
        return self.call_on_host(on_host, arrays, shape, dtype)

    def known_values(self, array):
        if tf.is_tensor(array) and not tf.executing_eagerly():
            return None
        return super().known_values(array)

    def run(self, function, *arrays, split_axis=None, **settings):
        """Let XLA compile a program within the program, in parts that run side by side."""
        if any(isinstance(array, keras.KerasTensor) for array in arrays):
            return function(*arrays, **settings)
        if split_axis is None:
            return self._run_compiled(function, arrays, settings)
        num_parts = math.gcd(arrays[0].shape[split_axis], NUM_PARALLEL_PROGRAMS)
        parts = zip(
            *(ops.split(array, num_parts, axis=split_axis) for array in arrays), strict=True
        )
        results = [self._run_compiled(function, part, settings) for part in parts]
        return tuple(
            ops.concatenate(result, axis=split_axis) for result in zip(*results, strict=True)
        )

    def _run_compiled(self, function, arrays, settings):
        # A program for each shape: TensorFlow would warn of one that is traced for several.
        program = self._programs.get(
            program_key(function, arrays, settings),
            lambda: tf.function(functools.partial(function), jit_compile=True, autograph=False),
        )
        return program(*arrays, **settings)

    def check_export(self):
        """Programs for other runtimes are TensorFlow's, or converted from them."""

    # Tokens.

    def attention(self, query, key, value, bias=None):
        """Compute so few sums at a time that their weights stay in a processor's cache."""
        num_heads, num_targets = query.shape[1:3]
        num_weights = None if None in (num_targets, key.shape[3]) else num_targets * key.shape[3]
        is_small = num_weights is not None and num_weights < FEWEST_WEIGHTS
        if is_small or _has_gpu():
            return super().attention(query, key, value, bias)
        num_blocks = math.ceil((num_weights or 0) / MOST_WEIGHTS) or 1
        heads = zip(
            *(ops.split(array, num_heads, axis=1) for array in (query, key, value)), strict=True
        )
        sums = [self._attention_in_blocks(*head, bias, num_blocks) for head in heads]
        return ops.concatenate(sums, axis=1)

    def _attention_in_blocks(self, query, key, value, bias, num_blocks):
        attend = functools.partial(memory_saving_attention.attend, self, _after)
        if num_blocks == 1:
            return attend(query, key, value, bias)
        size = -(-query.shape[2] // num_blocks)
        is_shared = bias is None or bias.shape[2] == 1
        sums = []
        for start in range(0, query.shape[2], size):
            block = slice(start, start + size)
            own_bias = bias if is_shared else bias[:, :, block]
            sums.append(attend(query[:, :, block], key, value, own_bias))
        return ops.concatenate(sums, axis=2)

    layer_norm = tensorflow_norms.layer_norm
    group_norm = tensorflow_norms.group_norm
    dropout = memory_saving_dropout.dropout

    def dropout_mask(self, shape, rate, seed_generator):
        size = tf.reduce_prod(shape)
        # TensorFlow draws words of 32 bits at least: each makes two numbers.
        words = tf.random.stateless_uniform(
            [(size + 1) // 2],
            tf.cast(seed_generator.next(), "int32"),
            minval=None,
            maxval=None,
            dtype="int32",
        )
        bits = tf.reshape(tf.reshape(tf.bitcast(words, "uint16"), [-1])[:size], shape)
        return memory_saving_dropout.dropout_mask(bits, rate)

    def relu_gradient(self, upstream, outputs):
        """Use TensorFlow's own, which makes no mask: 4% less memory in Deformable DETR's step."""
        return tf.raw_ops.ReluGrad(gradients=upstream, features=outputs)

    def sum_of_rows(self, matrix):
        """Multiply with ones, in a fourth of the time of a sum."""
        ones = tf.ones((1, tf.shape(matrix)[0]), matrix.dtype)
        return tf.matmul(ones, matrix)[0]

    relu_feed_forward = memory_saving_feed_forward.relu_feed_forward

    def add_bias(self, features, bias):
        """Use the form that compiled programs compute while they multiply or convolve."""
        return tf.nn.bias_add(features, bias)

    # Feature maps.

    def convolution(
        self, inputs, kernel, bias, residual=None, *, strides=(1, 1), training=False, **settings
    ):
        """Divide the filters where one image is convolved, and guard against damaged memory."""
        inputs, strides = unstrided(inputs, kernel, strides)
        convolve = functools.partial(super().convolution, inputs, strides=strides, **settings)
        num_parts = 1 if training else _num_parts_of_kernel(inputs, kernel)
        arrays = [kernel, bias, *([] if residual is None else [residual])]
        if num_parts == 1:
            return convolve(*arrays)
        parts = zip(*(ops.split(array, num_parts, axis=-1) for array in arrays), strict=True)
        return ops.concatenate([convolve(*part) for part in parts], axis=-1)

    # Rows of a table.

    def weighted_row_sums(self, table, indices, weights):
        return xla_table_rows.weighted_row_sums(tf.gather, table, indices, weights)

    def weighted_row_gradients(self, table, indices, weights, upstream):
        return xla_table_rows.weighted_row_gradients(
            tf.gather, _add_rows, table, indices, weights, upstream
        )

    # Training.

    def global_norm(self, tensors):
        """Sum without arrays of squares."""
        return tf.linalg.global_norm(tensors)

    def adamw_steps(self, updates, update_one_by_one, step, learning_rate, betas, epsilon):
        """Compute the numbers that all variables share once: most operations were theirs."""
        if tf.distribute.has_strategy():
            # Each device updates its own copies, with numbers of its own.
            update_one_by_one()
            return
        numbers = functools.cache(
            functools.partial(_adamw_numbers, step, learning_rate, betas, epsilon)
        )
        for update in updates:
            if isinstance(update.variable, keras.Variable):
                update = update._replace(variable=update.variable.value)
            _update_by_adamw(update, *numbers(update.variable.dtype, update.weight_decay))

    def adamw_step(self, update, step, learning_rate, betas, epsilon):
        """Update in one operation, or two with weight decay."""
        dtype, weight_decay = update.variable.dtype, update.weight_decay
        _update_by_adamw(
            update, *_adamw_numbers(step, learning_rate, betas, epsilon, dtype, weight_decay)
        )

    def strategy_scope(self, model):
        """Return the scope of the `tf.distribute` strategy that the model was built with."""
        strategy = getattr(model, "distribute_strategy", None)
        return super().strategy_scope(model) if strategy is None else strategy.scope()

    # Several devices.

    def prediction_function(self, model):
        if self.num_parts(model) is None:
            return None
        return tensorflow_devices.DividedPrediction(model)

    def executions(self, model, function, is_training):
        if self.num_parts(model) is None:
            return function
        tensorflow_devices.check_steps(model, is_training)
        return tensorflow_devices.StepByStep(model, function)

    def num_parts(self, model):
        return tensorflow_devices.num_parts(model.distribute_strategy)

    def num_own_parts(self, model):
        return tensorflow_devices.num_own_parts(model.distribute_strategy)

    def divided_rows(self, model, dataset):
        return tensorflow_devices.divided_rows(model.distribute_strategy, dataset)

    def predicting(self, model):
        """Keep Keras from dividing batches, and from giving a process those of another."""
        return with_strategy(model, tensorflow_devices.default_strategy())

    def join_processes(self):
        self._workers.join()

    def process(self):
        return self._workers.process()

    def gather_bytes(self, data):
        return self._workers.gather_bytes(data)

    logs_of_replica = staticmethod(tensorflow_devices.logs_of_replica)

    def reserve_gpus(self, config):
        """Leave the GPUs to TensorFlow, which computes with them."""

    def num_replicas(self):
        return tf.distribute.get_strategy().num_replicas_in_sync

    def sum_over_replicas(self, value):
        context = tf.distribute.get_replica_context()
        if self.num_replicas() == 1 or context is None:
            return value
        return context.all_reduce(tf.distribute.ReduceOp.SUM, value)

    def loss_of_replica(self, loss):
        return loss / self.num_replicas()

    def gradient_of_batch(self, gradient):
        return self.sum_over_replicas(gradient)


def _after(tensor, other):
    """Return a tensor once another is computed."""
    with tf.control_dependencies([other]):
        return tf.identity(tensor)


@functools.cache
def _has_gpu():
    return bool(tf.config.list_logical_devices("GPU"))


def _num_parts_of_kernel(inputs, kernel):
    """Return into how many parts the filters of a convolution are worth dividing.

    For a single image, TensorFlow's kernels for processors read all filters again for each row of
    the map: a part of them stays in the cache, all of them don't.
    """
    rows, columns, channels, filters = kernel.shape
    is_slow = rows * columns > 1 and inputs.shape[0] in (1, None) and kernel.dtype == "float32"
    if not is_slow or channels != inputs.shape[-1] or _has_gpu():
        return 1
    num_parts = -(-4 * rows * columns * channels * filters // MOST_BYTES_OF_KERNEL)
    return math.gcd(filters, 2 ** math.ceil(math.log2(num_parts)))


def _adamw_numbers(step, learning_rate, betas, epsilon, dtype, weight_decay):
    """Return what AdamW needs beside a variable's own arrays.

    Args:
        step, learning_rate, betas, epsilon: see `Backend.adamw_step`.
        dtype: of the variable.
        weight_decay: float, 0 for none.

    Returns:
        tuple of a dict, arguments of `ResourceApplyAdam`, and the factor of weight decay or `None`.
    """

    def scalar(value):
        return tf.cast(value, dtype)

    numbers = {
        "beta1_power": tf.pow(scalar(betas[0]), scalar(step)),
        "beta2_power": tf.pow(scalar(betas[1]), scalar(step)),
        "lr": scalar(learning_rate),
        "beta1": scalar(betas[0]),
        "beta2": scalar(betas[1]),
        "epsilon": scalar(epsilon),
    }
    return numbers, scalar(1.0 - learning_rate * weight_decay) if weight_decay else None


def _update_by_adamw(update, numbers, decay_factor):
    """Update one variable in place."""
    variable = update.variable
    if decay_factor is not None:
        # Not earlier: a program would compute it first of all, and hold a second copy of every
        # variable while it computes all gradients.
        with tf.control_dependencies([update.gradient]):
            variable.assign(variable * decay_factor)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=update.momentum.value.handle,
        v=update.velocity.value.handle,
        grad=update.gradient,
        **numbers,
    )


def _add_rows(table, index, rows):
    return tf.tensor_scatter_nd_add(table, index[..., None], rows)


BACKEND = TensorFlowBackend()
