"""Group normalization for feature maps."""

import keras
from keras import ops

from keras_detr.ops import backends
from keras_detr.ops.group_norm import group_norm


@keras.saving.register_keras_serializable("keras_detr")
class GroupNorm(keras.layers.GroupNormalization):
    """Normalize groups of an image's channels, in float32; on TensorFlow in two passes.

    Takes the arguments of `keras.layers.GroupNormalization`, but for `axis`, which is the last.

    Call arguments:
        inputs: (batch, ..., channels).

    Returns:
        (batch, ..., channels).

    Source: Wu & He 2018.
    """

    def call(self, inputs):
        """Return the normalized maps."""
        if not (backends.compiles_parts_of_programs() and self.scale and self.center):
            return super().call(inputs)
        scale, offset = (ops.cast(v, "float32") for v in (self.gamma, self.beta))
        normal = group_norm(inputs, scale, offset, self.groups, self.epsilon)
        return ops.cast(normal, self.compute_dtype)
