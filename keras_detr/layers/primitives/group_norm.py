"""Group normalization for feature maps."""

import keras
from keras import ops

from keras_detr.ops.backends import current


@keras.saving.register_keras_serializable("keras_detr")
class GroupNorm(keras.layers.GroupNormalization):
    """Normalize groups of an image's channels, in float32.

    Takes the arguments of `keras.layers.GroupNormalization`, but for `axis`, which is the last.

    Call arguments:
        inputs: (batch, ..., channels), the shape of the result too.

    Source: Wu & He 2018.
    """

    def call(self, inputs):
        """Return the normalized maps."""
        if not (self.scale and self.center):
            return super().call(inputs)
        normal = current().group_norm(inputs, self.gamma, self.beta, self.groups, self.epsilon)
        return ops.cast(normal, self.compute_dtype)
