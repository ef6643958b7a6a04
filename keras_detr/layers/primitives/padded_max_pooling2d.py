"""Max pooling as torchvision's stem has it."""

import keras

from keras_detr.layers.primitives.channels import check_channels_last
from keras_detr.ops.backends import current


@keras.saving.register_keras_serializable("keras_detr")
class PaddedMaxPooling2D(keras.layers.MaxPooling2D):
    """Take the largest number of each window of a map that is padded alike on all sides.

    `padding="same"` of `keras.layers.MaxPooling2D` pads an even map at the bottom and on the right
    only.

    Args:
        pool_size: odd int.
        strides: int.
        data_format: str, "channels_last", whatever Keras' configuration says.
        **kwargs: of `keras.layers.MaxPooling2D`, but for `padding`.

    Call arguments:
        inputs: float (batch, height, width, channels), at least zero, as after a ReLU: the padding
            is zeros.

    Returns:
        float (batch, ceil(height / strides), ceil(width / strides), channels).

    Source: torchvision's resnet.py.
    """

    def __init__(self, pool_size=(2, 2), strides=None, data_format="channels_last", **kwargs):
        check_channels_last(data_format)
        super().__init__(pool_size, strides, data_format=data_format, **kwargs)

    def call(self, inputs):
        """Return the largest numbers."""
        margins = [size // 2 for size in self.pool_size]
        return current().max_pool(inputs, self.pool_size, self.strides, margins)

    def compute_output_shape(self, input_shape):
        """Return the shape of the pooled map."""
        batch, height, width, channels = input_shape
        sides = [
            side and (side - 1) // stride + 1
            for side, stride in zip((height, width), self.strides, strict=True)
        ]
        return (batch, *sides, channels)

    def get_config(self):
        """Return the constructor's arguments."""
        config = super().get_config()
        del config["padding"]
        return config
