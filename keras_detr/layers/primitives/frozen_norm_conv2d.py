"""A convolution and the frozen batch normalization after it, computed as one convolution."""

import keras
from keras import ops

from keras_detr.layers.primitives.channels import check_channels_last
from keras_detr.layers.primitives.frozen_batch_normalization import FrozenBatchNormalization
from keras_detr.ops.backends import current


@keras.saving.register_keras_serializable("keras_detr")
class FrozenNormConv2D(keras.layers.Conv2D):
    """Convolve without bias, then scale and shift every channel by statistics that stay as loaded.

    The scale multiplies the kernel instead of the feature map, and the shift is the convolution's
    bias: a large map is read and written once instead of three times.

    Args:
        filters: int, of `keras.layers.Conv2D`.
        kernel_size: int or pair of int, of `keras.layers.Conv2D`.
        norm_name: str, name of the normalization, `norm`.
        use_relu: bool, whether a ReLU follows.
        margin: int, how many zeros surround the map on each side, as torch's `padding` has it. Then
            `padding` must be "valid". ("same" pads an even map at the bottom and on the right only
            where strides are 2.)
        data_format: str, "channels_last", whatever Keras' configuration says.
        **kwargs: of `keras.layers.Conv2D`; there is neither bias nor another activation.

    Call arguments:
        inputs: float (batch, height, width, channels).
        residual: float (batch, new_height, new_width, filters), added before the ReLU, as at the
            end of a residual block; or `None`.

    Returns:
        float (batch, new_height, new_width, filters), in the compute dtype.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        norm_name="norm",
        use_relu=False,
        margin=0,
        data_format="channels_last",
        **kwargs,
    ):
        check_channels_last(data_format)
        super().__init__(filters, kernel_size, use_bias=False, data_format=data_format, **kwargs)
        if margin and self.padding != "valid":
            raise ValueError(
                f'`padding` must be "valid" beside a `margin`, which pads too. Received: '
                f"padding={self.padding!r}, margin={margin}."
            )
        self.margin = margin
        self.use_relu = use_relu
        self.norm = FrozenBatchNormalization(name=norm_name)

    def build(self, input_shape):
        """Create the kernel and the normalization's four per-channel variables."""
        super().build(input_shape)
        current().lay_out_kernel(self.kernel)
        self.norm.build((self.filters,))

    def call(self, inputs, residual=None, training=None):
        """Convolve with the scaled kernel."""
        scale, offset = self.norm.scale_and_offset()
        return current().convolution(
            inputs,
            ops.convert_to_tensor(self.kernel) * ops.cast(scale, self.compute_dtype),
            ops.cast(offset, self.compute_dtype),
            residual,
            strides=self.strides,
            dilation=self.dilation_rate,
            padding=self.padding,
            margin=self.margin,
            use_relu=self.use_relu,
            training=bool(training and self.trainable),
        )

    def compute_output_shape(self, input_shape):
        """Return the shape of the new map."""
        batch, *sides, channels = input_shape
        padded = [side and side + 2 * self.margin for side in sides]
        return super().compute_output_shape((batch, *padded, channels))

    def get_config(self):
        """Return the constructor's arguments."""
        config = super().get_config()
        for name in ("use_bias", "activation"):
            del config[name]
        return {
            **config,
            "norm_name": self.norm.name,
            "use_relu": self.use_relu,
            "margin": self.margin,
        }
