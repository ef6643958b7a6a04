"""The two dense layers of a transformer layer."""

import keras
from keras import ops

from keras_detr.layers.primitives.dropout import Dropout
from keras_detr.layers.primitives.initializers import torch_linear_initializers
from keras_detr.layers.primitives.token_dense import TokenDense
from keras_detr.ops.backends import current


@keras.saving.register_keras_serializable("keras_detr")
class FeedForward(keras.layers.Layer):
    """Widen every token, apply the activation, and narrow it again.

    Args:
        feed_forward_dim: int, the width in between.
        dropout: float in [0, 1), after the activation.
        activation: str or callable.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: (batch, tokens, size), the shape of the result too.

    Source: Vaswani et al. 2017, section 3.3.
    """

    def __init__(self, feed_forward_dim, dropout=0.0, activation="relu", **kwargs):
        super().__init__(**kwargs)
        self.feed_forward_dim = feed_forward_dim
        self.dropout = dropout
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        """Create both dense layers: Xavier kernels, torch's biases."""
        size = input_shape[-1]
        self.linear1 = TokenDense(
            self.feed_forward_dim,
            activation=self.activation,
            bias_initializer=torch_linear_initializers(size)[1],
            dtype=self.dtype_policy,
            name="linear1",
        )
        self.linear2 = TokenDense(
            size,
            bias_initializer=torch_linear_initializers(self.feed_forward_dim)[1],
            dtype=self.dtype_policy,
            name="linear2",
        )
        self.inner_dropout = Dropout(self.dropout, dtype=self.dtype_policy, name="inner_dropout")
        self.linear1.build(input_shape)
        self.linear2.build((*input_shape[:-1], self.feed_forward_dim))

    def call(self, inputs, training=None):
        """Return the transformed tokens."""
        if self.activation is not keras.activations.relu:
            hidden = self.inner_dropout(self.linear1(inputs), training=training)
            return self.linear2(hidden)
        layers = self.linear1, self.linear2
        outputs = current().relu_feed_forward(
            ops.reshape(inputs, (-1, inputs.shape[-1])),
            [ops.cast(layer.kernel, self.compute_dtype) for layer in layers],
            [ops.cast(layer.bias, self.compute_dtype) for layer in layers],
            self.dropout if training else 0.0,
            self.inner_dropout.seed_generator if self.dropout else None,
        )
        return ops.reshape(outputs, ops.shape(inputs))

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "feed_forward_dim": self.feed_forward_dim,
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.activation),
        }
