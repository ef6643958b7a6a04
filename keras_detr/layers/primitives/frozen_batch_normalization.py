"""Batch normalization that never learns."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_detr")
class FrozenBatchNormalization(keras.layers.Layer):
    """Scale and shift every channel by statistics and affine parameters that stay as loaded.

    Neither the statistics nor the affine parameters are trainable, whatever `trainable` says:
    detectors train with too few images a step for batch statistics.

    Args:
        epsilon: float, added to the variance.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: float (..., channels).

    Returns:
        float (..., channels), in the compute dtype.

    Example:
        ```python
        from keras_detr.layers import FrozenBatchNormalization

        norm = FrozenBatchNormalization()
        print(norm(np.ones((1, 4, 4, 8), "float32")).shape)  # (1, 4, 4, 8)
        print(len(norm.trainable_variables))  # 0
        ```

    Source: Carion et al. 2020, section A.4; models/backbone.py of the original.
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        """Create the four per-channel variables, the identity to begin with."""
        shape = (input_shape[-1],)

        def add_frozen(name, initializer):
            return self.add_weight(shape, initializer, trainable=False, autocast=False, name=name)

        self.gamma = add_frozen("gamma", "ones")
        self.beta = add_frozen("beta", "zeros")
        self.moving_mean = add_frozen("moving_mean", "zeros")
        self.moving_variance = add_frozen("moving_variance", "ones")

    def scale_and_offset(self):
        """Return what multiplies every channel, and what is added then; float32 (channels,)."""
        scale = self.gamma * ops.rsqrt(self.moving_variance + self.epsilon)
        return scale, self.beta - self.moving_mean * scale

    def call(self, inputs):
        """Apply one multiplication and one addition; both factors are computed in float32."""
        scale, offset = self.scale_and_offset()
        return inputs * ops.cast(scale, inputs.dtype) + ops.cast(offset, inputs.dtype)

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "epsilon": self.epsilon}
