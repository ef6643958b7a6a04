"""Dropout that draws few random bits."""

import keras

from keras_detr.ops.backends import current


@keras.saving.register_keras_serializable("keras_detr")
class Dropout(keras.layers.Dropout):
    """Set numbers to zero by chance while training, and scale the others.

    Args:
        rate: float in [0, 1), the probability of zero.
        **kwargs: of `keras.layers.Dropout`, but for `noise_shape`.

    Call arguments:
        inputs: float tensor; the result is like it.
        training: bool, whether numbers are dropped.

    Source: Srivastava et al. 2014.
    """

    def __init__(self, rate, **kwargs):
        super().__init__(rate, **kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must be at least 0 and below 1. Received: {rate}.")

    def call(self, inputs, training=False):
        """Return the inputs, some of them zero while training."""
        if not training or not self.rate:
            return inputs
        return current().dropout(inputs, self.rate, self.seed_generator)

    def get_config(self):
        """Return the constructor's arguments."""
        config = super().get_config()
        del config["noise_shape"]
        return config
