"""Layer normalization for tokens."""

import keras
from keras import ops

from keras_detr.ops import backends
from keras_detr.ops.layer_norm import layer_norm


@keras.saving.register_keras_serializable("keras_detr")
class TokenNorm(keras.layers.LayerNormalization):
    """Normalize every token, in float32; on TensorFlow in one pass over the tokens.

    Takes the arguments of `keras.layers.LayerNormalization`, but for `axis`, which is the last.

    Call arguments:
        inputs: (..., size).

    Returns:
        (..., size).

    Source: Ba et al. 2016.
    """

    def call(self, inputs):
        """Return the normalized tokens."""
        if not (backends.compiles_parts_of_programs() and self.scale and self.center):
            return super().call(inputs)
        scale, offset = (ops.cast(v, "float32") for v in (self.gamma, self.beta))
        normal = layer_norm(inputs, scale, offset, self.epsilon)
        return ops.cast(normal, self.compute_dtype)
