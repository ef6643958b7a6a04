"""What the layers ask of a Keras backend: computations on tokens, maps and tables."""

import keras
from keras import ops

from keras_detr.ops.attention import attend


class LayerComputations:
    """Compute with `keras.ops` alone; the first of two halves of `Backend`, see there."""

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

        Source: Vaswani et al. 2017, equation 1.
        """
        return attend(query, key, value, bias)[0]

    def layer_norm(self, tokens, scale, offset, epsilon):
        """Normalize tokens to a mean of 0 and a variance of 1 in float32, then scale and shift.

        Args:
            tokens: float (..., size).
            scale, offset: float (size,).
            epsilon: float, added to the variance.

        Returns:
            tensor like `tokens`.

        Source: Ba et al. 2016.
        """
        return ops.layer_normalization(tokens, scale, offset, axis=-1, epsilon=epsilon)

    def group_norm(self, features, scale, offset, num_groups, epsilon):
        """Normalize groups of an image's channels in float32, then scale and shift each channel.

        Args:
            features: float (batch, ..., channels).
            scale, offset: float (channels,).
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
            rate, seed_generator: see `dropout`.

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
            rate, seed_generator: see `dropout`; the generator is `None` where the rate is 0.

        Returns:
            float (number, new size).

        Source: Vaswani et al. 2017, section 3.3.
        """
        wide = ops.relu(self.add_bias(ops.matmul(tokens, kernels[0]), biases[0]))
        if rate:
            wide = self.dropout(wide, rate, seed_generator)
        return self.add_bias(ops.matmul(wide, kernels[1]), biases[1])

    def masked(self, numbers, is_kept):
        """Set finite numbers to zero where a bool tensor of their shape is false."""
        return ops.where(is_kept, numbers, 0.0)

    def relu_gradient(self, upstream, outputs):
        """Return the gradient to the input of a ReLU, from its outputs and the gradient to them."""
        return ops.where(outputs > 0, upstream, 0.0)

    def sum_of_rows(self, matrix):
        """Return the sum of all rows of a long matrix (rows, size)."""
        return ops.sum(matrix, axis=0)

    def add_bias(self, features, bias):
        """Add a number to each channel: (channels,) to (..., channels)."""
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

        The numbers and the shape (rows, columns, channels, filters) of the `keras.Variable` stay.
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


def border(*margins):
    """Return what `keras.ops.pad` takes to surround maps with so many rows and columns."""
    return [(0, 0), *((margin, margin) for margin in margins), (0, 0)]
