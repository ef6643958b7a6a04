"""Layer normalization for tokens."""

import keras
from keras import ops

from keras_detr.ops.backends import current


@keras.saving.register_keras_serializable("keras_detr")
class TokenNorm(keras.layers.LayerNormalization):
    """Normalize every token, in float32.

    Takes the arguments of `keras.layers.LayerNormalization`, but for `axis`, which is the last.

    Call arguments:
        inputs: (..., size), the shape of the result too.

    Source: Ba et al. 2016.
    """

    def call(self, inputs):
        """Return the normalized tokens."""
        if not (self.scale and self.center):
            return super().call(inputs)
        normal = current().layer_norm(inputs, self.gamma, self.beta, self.epsilon)
        return ops.cast(normal, self.compute_dtype)
