"""The small convolutional network that turns a query's attention into a mask."""

import math
from typing import Any

import keras
from keras import ops

from keras_detr.layers.primitives.group_norm import GroupNorm
from keras_detr.layers.primitives.initializers import kaiming_uniform

# The original's; fewer where they don't divide the channels.
_GROUPS = 8


@keras.saving.register_keras_serializable("keras_detr")
class MaskHead(keras.layers.Layer):
    """Turn the attention of each query, and the backbone's finer maps, into a mask of its object.

    Each query has a stack of maps of its own. It begins with the projected map and the query's
    attention, and grows to the size of one finer map after the other, which are added. What all
    queries share, the projected map's part of the first convolution and the finer maps' part of the
    later ones, is computed once an image: a convolution of a sum is the sum of two convolutions.

    Args:
        hidden_dim: int, the channels of the projected map. The maps have a half, a quarter, an
            eighth and a sixteenth of it, so it is a multiple of 16.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        features: (batch, height, width, hidden_dim), the backbone's coarsest map, projected.
        attention: (batch, queries, height, width, heads), see `MaskAttention`.
        finer_maps: list of three maps (batch, larger height, larger width, channels), the coarsest
            first: the backbone's levels 4, 3 and 2.

    Returns:
        float32 (batch, queries, height, width) of the finest map: logits, positive on the object.

    Example:
        ```python
        from keras_detr.layers import MaskHead

        maps = [np.ones((1, 2**k, 2**k, 4), "float32") for k in (2, 3, 4)]
        head = MaskHead(hidden_dim=16)
        features, attention = np.ones((1, 2, 2, 16), "float32"), np.ones((1, 5, 2, 2, 8), "float32")
        print(head(features, attention, maps).shape)  # (1, 5, 16, 16)
        ```

    Source: Carion et al. 2020, section 4.4 and figure 8; models/segmentation.py of the original,
    `MaskHeadSmallConv`.
    """

    def __init__(self, hidden_dim: int = 256, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if hidden_dim % 16:
            raise ValueError(
                "`hidden_dim` must be a multiple of 16: the last maps have a sixteenth of its "
                f"channels. Received: {hidden_dim}."
            )
        self.hidden_dim = hidden_dim

    def build(self, features_shape, attention_shape, finer_maps_shape):
        """Create the convolutions and normalizations, named as in the original."""
        size = self.hidden_dim + attention_shape[-1]
        widths = [size, *(self.hidden_dim // share for share in (2, 4, 8, 16))]
        inputs = [size, *widths[:-1]]
        self.convolutions = [
            self._convolution(f"lay{k}", 3, channels, width)
            for k, (channels, width) in enumerate(zip(inputs, widths, strict=True), 1)
        ]
        self.norms = [self._norm(f"gn{k}", width) for k, width in enumerate(widths, 1)]
        self.adapters = [
            self._convolution(f"adapter{k}", 1, shape[-1], width)
            for k, (shape, width) in enumerate(zip(finer_maps_shape, widths[1:4], strict=True), 1)
        ]
        self.output_convolution = self._convolution("out_lay", 3, widths[-1], 1)

    def _convolution(self, name, kernel_size, channels, filters):
        convolution = keras.layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            kernel_initializer=kaiming_uniform(kernel_size * kernel_size * channels),
            data_format="channels_last",
            dtype=self.dtype_policy,
            name=name,
        )
        convolution.build((None, None, None, channels))
        return convolution

    def _norm(self, name, channels):
        norm = GroupNorm(
            math.gcd(_GROUPS, channels), epsilon=1e-5, dtype=self.dtype_policy, name=name
        )
        norm.build((None, None, None, channels))
        return norm

    def call(self, features, attention, finer_maps):
        """Return the logits of the masks."""
        num_queries = ops.shape(attention)[1]
        # Of every query a map: (batch * queries, height, width, channels).
        maps = ops.reshape(attention, (-1, *ops.shape(attention)[2:]))
        maps = ops.cast(maps, self.compute_dtype)
        first, second, *later = self.convolutions
        kernel = ops.convert_to_tensor(first.kernel)
        of_features, of_attention = kernel[:, :, : self.hidden_dim], kernel[:, :, self.hidden_dim :]
        shared = _convolve(features, of_features) + first.bias
        maps = self._normalized(0, _add(_convolve(maps, of_attention), shared, num_queries))
        maps = self._normalized(1, second(maps))
        stages = zip(later, self.adapters, finer_maps, strict=True)
        for index, (convolution, adapter, finer) in enumerate(stages, 2):
            maps = resize_to_nearest(maps, ops.shape(finer)[1:3])
            shared = convolution(adapter(finer))
            maps = _add(_convolve(maps, convolution.kernel), shared, num_queries)
            maps = self._normalized(index, maps)
        logits = ops.cast(self.output_convolution(maps), "float32")
        return ops.reshape(logits, (-1, num_queries, *ops.shape(logits)[1:3]))

    def _normalized(self, index, maps):
        return ops.relu(self.norms[index](maps))

    def compute_output_shape(self, features_shape, attention_shape, finer_maps_shape):
        """Return (batch, queries, height, width) of the finest map."""
        return (*attention_shape[:2], *finer_maps_shape[-1][1:3])

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "hidden_dim": self.hidden_dim}


def resize_to_nearest(maps, size):
    """Resize maps by repeating their rows and columns, as torch's mode "nearest" does.

    Keras' "nearest" takes other rows where the new size isn't a multiple of the old one.

    Args:
        maps: (batch, height, width, channels).
        size: pair of int, the new height and width.

    Returns:
        (batch, new height, new width, channels).
    """
    for axis, (length, new_length) in enumerate(zip(ops.shape(maps)[1:3], size, strict=True), 1):
        maps = ops.take(maps, ops.arange(new_length) * length // new_length, axis=axis)
    return maps


def _convolve(maps, kernel):
    return ops.conv(maps, ops.cast(kernel, maps.dtype), padding="same", data_format="channels_last")


def _add(maps, shared, num_queries):
    """Add to the maps of each image's queries the one map that they share."""
    shape = ops.shape(maps)
    maps = ops.reshape(maps, (-1, num_queries, *shape[1:]))
    return ops.reshape(maps + ops.expand_dims(shared, 1), shape)
