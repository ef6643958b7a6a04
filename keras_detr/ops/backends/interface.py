"""Everything that the package asks of a Keras backend."""

import contextlib

import keras
from keras import ops

from keras_detr.ops.attention import attend


class Backend:
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
            dtype: str, the dtype of the result.

        Returns:
            A tensor of the backend.
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

    def compilable_steps(self, model):
        """Return the context in which Keras creates a model's functions for training."""
        return contextlib.nullcontext()

    def check_export(self):
        """Check that programs for other runtimes can be written.

        Raises:
            NotImplementedError: they can't; the message says what to do.
        """
        raise NotImplementedError(
            "Exporting needs Keras' TensorFlow backend: save the model (`model.save('model.keras')`"
            "), load it in a process with the environment variable KERAS_BACKEND=tensorflow, and "
            "export there. Weights are the same on all backends."
        )

    # Tokens.

    def attention(self, query, key, value, bias=None):
        """Sum values by the softmax, computed in float32, of scores.

        Args:
            query: (batch, heads, targets, size), scaled.
            key: (batch, heads, size, sources).
            value: (batch, heads, sources, size).
            bias: float32 (batch or 1, 1, targets or 1, sources), added to scores; or `None`.

        Returns:
            (batch, heads, targets, size).
        """
        return attend(query, key, value, bias)[0]

    def layer_norm(self, tokens, scale, offset, epsilon):
        """Normalize every token to a mean of 0 and a variance of 1, then scale and shift it.

        Computed in float32.

        Args:
            tokens: float (..., size).
            scale: float (size,).
            offset: float (size,).
            epsilon: float, added to the variance.

        Returns:
            tensor like `tokens`.

        Source: Ba et al. 2016.
        """
        return ops.layer_normalization(tokens, scale, offset, axis=-1, epsilon=epsilon)

    def group_norm(self, features, scale, offset, num_groups, epsilon):
        """Normalize each group of channels of an image, then scale and shift each channel.

        Computed in float32.

        Args:
            features: float (batch, ..., channels).
            scale: float (channels,).
            offset: float (channels,).
            num_groups: int, divides the channels.
            epsilon: float, added to the variance.

        Returns:
            tensor like `features`.

        Source: Wu & He 2018.
        """
        channels = features.shape[-1]
        grouped = (ops.shape(features)[0], -1, num_groups, channels // num_groups)
        groups = ops.reshape(ops.cast(features, "float32"), grouped)
        scale, offset = (
            ops.reshape(ops.cast(factor, "float32"), grouped[2:]) for factor in (scale, offset)
        )
        mean, variance = ops.moments(groups, axes=(1, 3), keepdims=True)
        factor = ops.rsqrt(variance + epsilon) * scale
        normal = groups * factor + (offset - mean * factor)
        return ops.cast(ops.reshape(normal, ops.shape(features)), features.dtype)

    def dropout(self, inputs, rate, seed_generator):
        """Set numbers to zero by chance, and scale the others so that the expected sum stays.

        Args:
            inputs: float tensor.
            rate: float in [0, 1), the probability of zero.
            seed_generator: `keras.random.SeedGenerator`.

        Returns:
            tensor like `inputs`.

        Source: Srivastava et al. 2014.
        """
        return keras.random.dropout(inputs, rate, seed=seed_generator)

    def dropout_mask(self, shape, rate, seed_generator):
        """Draw which numbers dropout keeps.

        Args:
            shape: tuple of int or scalar tensors.
            rate: float in [0, 1), the probability with which a number is dropped.
            seed_generator: `keras.random.SeedGenerator`.

        Returns:
            pair of a bool tensor of that shape, and of a float, what numbers that are kept are to
            be multiplied with.
        """
        return keras.random.uniform(shape, seed=seed_generator) >= rate, 1.0 / (1.0 - rate)

    def relu_feed_forward(self, tokens, kernels, biases, rate, seed_generator):
        """Widen every token, set negative numbers to zero, drop some by chance, and narrow it.

        Args:
            tokens: float (number, size).
            kernels: pair of float (size, width) and (width, new size).
            biases: pair of float (width,) and (new size,).
            rate: float in [0, 1), the probability with which a wide token's number is dropped.
            seed_generator: `keras.random.SeedGenerator`; `None` without dropout.

        Returns:
            float (number, new size).

        Source: Vaswani et al. 2017, section 3.3.
        """
        wide = ops.relu(self.add_bias(ops.matmul(tokens, kernels[0]), biases[0]))
        if rate:
            wide = self.dropout(wide, rate, seed_generator)
        return self.add_bias(ops.matmul(wide, kernels[1]), biases[1])

    def relu_gradient(self, upstream, outputs):
        """Return the gradient to the input of a ReLU.

        Args:
            upstream: float tensor, the gradient to its outputs.
            outputs: tensor like it.
        """
        return ops.where(outputs > 0, upstream, 0.0)

    def sum_of_rows(self, matrix):
        """Return the sum of all rows of a long matrix (rows, size)."""
        return ops.sum(matrix, axis=0)

    def add_bias(self, features, bias):
        """Add a number to each channel.

        Args:
            features: float (..., channels).
            bias: float (channels,).
        """
        return features + bias

    # Feature maps.

    def convolution(
        self,
        inputs,
        kernel,
        bias,
        residual=None,
        *,
        strides=(1, 1),
        dilation=(1, 1),
        padding="valid",
        margin=0,
        use_relu=False,
        training=False,
    ):
        """Convolve, add a number to each channel and another map, and set negative numbers to zero.

        Args:
            inputs: float (batch, height, width, channels).
            kernel: float (rows, columns, channels / groups, filters).
            bias: float (filters,).
            residual: float tensor like the result, added to it; or `None`.
            strides, dilation: pairs of int.
            padding: "same" or "valid".
            margin: int, how many zeros surround the map on each side.
            use_relu: bool, whether a ReLU follows.
            training: bool, whether gradients may be computed.

        Returns:
            float (batch, new height, new width, filters).
        """
        if margin:
            inputs = ops.pad(inputs, border(margin, margin))
        outputs = ops.conv(
            inputs,
            kernel,
            strides=strides,
            padding=padding,
            data_format="channels_last",
            dilation_rate=dilation,
        )
        outputs = self.add_bias(outputs, bias)
        if residual is not None:
            outputs = outputs + residual
        return ops.relu(outputs) if use_relu else outputs

    def lay_out_kernel(self, variable):
        """Let memory hold a convolution's kernel in the order that convolutions read it in.

        The numbers and the shape stay.

        Args:
            variable: `keras.Variable` (rows, columns, channels, filters).
        """

    def max_pool(self, inputs, sizes, strides, margins):
        """Return the largest number of each channel in windows of a map with a border of zeros.

        Args:
            inputs: float (batch, height, width, channels), at least zero.
            sizes, strides, margins: pairs of int.
        """
        padded = ops.pad(inputs, border(*margins))
        return ops.max_pool(padded, sizes, strides, "valid", "channels_last")

    # Rows of a table, which deformable attention samples.

    def weighted_row_sums(self, table, indices, weights):
        """Sum rows of a table, each times a weight: sum over k of w[n, k] * table[j[n, k]].

        Not differentiable where it is overridden; see `weighted_row_gradients`.

        Args:
            table: float (rows, size).
            indices: list of int32 (sums, terms), in [0, rows); k counts on from one to the next.
            weights: list of float32 (sums, terms), one for each of `indices`.

        Returns:
            float32 (sums, size).
        """
        # Few operations on arrays of a fourth of what is read.
        products = [
            ops.matmul(weight[:, None], ops.cast(ops.take(table, index, axis=0), "float32"))
            for index, weight in zip(indices, weights, strict=True)
        ]
        return sum(product[:, 0] for product in products)

    def weighted_row_gradients(self, table, indices, weights, upstream):
        """Return the gradients of `weighted_row_sums` to the table and to the weights.

        Args:
            table: float (rows, size).
            indices, weights: lists, as there.
            upstream: float32 (sums, size), the gradient to the sums.

        Returns:
            pair of float32 (rows, size), and of a list of float32 (sums, terms).
        """
        of_table = ops.zeros_like(table, "float32")
        of_weights = []
        for index, weight in zip(indices, weights, strict=True):
            rows = ops.reshape(upstream[:, None] * weight[..., None], (-1, table.shape[1]))
            places = ops.reshape(index, (-1, 1))
            of_table = of_table + ops.scatter(places, rows, ops.shape(table))
            read = ops.cast(ops.take(table, index, axis=0), "float32")
            of_weights.append(ops.matmul(read, upstream[..., None])[..., 0])
        return of_table, of_weights

    # Training.

    def sum_of_squares(self, value):
        """Return the sum of the squares of a float tensor."""
        return ops.sum(ops.square(value))

    def adamw_step(
        self,
        variable,
        momentum,
        velocity,
        gradient,
        step,
        learning_rate,
        betas,
        epsilon,
        weight_decay=0.0,
    ):
        """Update a variable as AdamW does.

        Args:
            variable: `keras.Variable`, or the backend's own.
            momentum, velocity: `keras.Variable`s of its shape, updated too.
            gradient: tensor of its shape and dtype.
            step: int scalar, counts from 1.
            learning_rate: float scalar.
            betas: pair of float.
            epsilon: float, added to the root of the velocity before its bias is corrected.
            weight_decay: float, times the learning rate what is taken off the variable.

        Source: Loshchilov & Hutter 2019, algorithm 2.
        """
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

        Args:
            model: `keras.Model`, of which `fit`, `evaluate` or `predict` runs inside.
        """
        return contextlib.nullcontext()

    # Several devices.

    def num_replicas(self):
        """Return how many replicas run this step, each with a part of the batch.

        Distributions of `keras.distribution` (JAX) compute with global arrays: there one program
        sees the whole batch, and is one replica.
        """
        return 1

    def sum_over_replicas(self, value):
        """Sum a float tensor, of the same shape on every replica, over all of them."""
        return value


def border(*margins):
    """Return what `keras.ops.pad` takes to surround maps with so many rows and columns."""
    return [(0, 0), *((margin, margin) for margin in margins), (0, 0)]


def program_key(function, arrays, settings):
    """Return what tells the programs of `Backend.run` apart: function, shapes, dtypes, settings.

    Scalar tensors among the settings don't count: they are arguments of the program.
    """
    shapes = tuple((tuple(array.shape), str(array.dtype)) for array in arrays)
    is_tensor = ops.is_tensor
    fixed = keras.tree.map_structure(lambda x: None if is_tensor(x) else x, settings)
    return function, shapes, repr(fixed)
