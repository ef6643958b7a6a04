"""The end of a residual block."""

import keras

from keras_detr.ops import backends


@keras.saving.register_keras_serializable("keras_detr")
class RectifiedSum(keras.layers.Add):
    """Add feature maps, and set what is negative to zero.

    Takes the arguments of `keras.layers.Add`.

    Call arguments:
        inputs: list of float tensors of one shape.

    Returns:
        float tensor of their shape.

    Source: He et al. 2016, figure 2.
    """

    def call(self, inputs):
        """Return the rectified sum."""
        return backends.relu_of_own(super().call(inputs))
