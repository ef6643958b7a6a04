"""A dense layer for tokens."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_detr")
class TokenDense(keras.layers.Dense):
    """Apply a dense layer to every token, as one product of two matrices.

    `keras.layers.Dense` computes the same of more than two axes, but TensorFlow can't join bias and
    activation to its product: a large array is then read and written up to three times.

    Takes the arguments of `keras.layers.Dense`.

    Call arguments:
        inputs: (..., size).

    Returns:
        (..., units).
    """

    def call(self, inputs, training=None):
        """Return the transformed tokens."""
        leading = ops.shape(inputs)[:-1]
        tokens = ops.reshape(inputs, (-1, inputs.shape[-1]))
        return ops.reshape(super().call(tokens, training=training), (*leading, self.units))
