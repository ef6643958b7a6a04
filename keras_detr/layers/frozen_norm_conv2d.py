"""A convolution and the frozen batch normalization after it, computed as one convolution."""

import keras
from keras import ops

from keras_detr.layers.frozen_batch_normalization import FrozenBatchNormalization
from keras_detr.ops import backends


@keras.saving.register_keras_serializable("keras_detr")
class FrozenNormConv2D(keras.layers.Conv2D):
    """Convolve without bias, then scale and shift every channel by statistics that stay as loaded.

    The scale multiplies the kernel instead of the feature map, and the shift is the convolution's
    bias: a large map is read and written once instead of three times.

    Args:
        filters: int, of `keras.layers.Conv2D`.
        kernel_size: int or pair of int, of `keras.layers.Conv2D`.
        norm_name: str, name of the normalization, `norm`.
        **kwargs: of `keras.layers.Conv2D`; there is no bias.

    Call arguments:
        inputs: float (batch, height, width, channels).

    Returns:
        float (batch, new_height, new_width, filters), in the compute dtype.
    """

    def __init__(self, filters, kernel_size, norm_name="norm", **kwargs):
        super().__init__(filters, kernel_size, use_bias=False, **kwargs)
        self.norm = FrozenBatchNormalization(name=norm_name)

    def build(self, input_shape):
        """Create the kernel and the normalization's four per-channel variables."""
        super().build(input_shape)
        self.norm.build((self.filters,))

    def call(self, inputs, training=None):
        """Convolve with the scaled kernel."""
        scale, offset = self.norm.scale_and_offset()
        scale = ops.cast(scale, self.compute_dtype)
        settings = self.strides, self.padding, self.dilation_rate
        if training and self.trainable and backends.has_lean_convolution(self.data_format):
            outputs = backends.lean_convolution(inputs, self.kernel, scale, *settings)
        elif backends.has_direct_convolution(self.data_format, self.kernel_size, *settings[:2]):
            outputs = backends.direct_convolution(inputs, self.kernel * scale, *settings)
        else:
            outputs = self.convolution_op(inputs, self.kernel * scale)
        return backends.add_channel_bias(outputs, ops.cast(offset, self.compute_dtype))

    def get_config(self):
        """Return the constructor's arguments."""
        config = super().get_config()
        del config["use_bias"]
        return {**config, "norm_name": self.norm.name}
