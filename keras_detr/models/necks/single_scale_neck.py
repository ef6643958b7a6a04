"""From one feature map to the tokens that DETR's encoder reads."""

from typing import Any

import keras
from keras import ops

from keras_detr.checkpoints.counts import MOST_CHANNELS, check_counts
from keras_detr.layers.primitives.initializers import torch_linear_initializers
from keras_detr.models.necks.token_maps import flatten_map, mask_of_map
from keras_detr.models.necks.token_neck import TokenNeck


@keras.saving.register_keras_serializable("keras_detr")
class SingleScaleNeck(TokenNeck):
    """Project the coarsest feature map, and flatten it with its positions and its mask.

    Args:
        hidden_dim: int, the size of a token.
        position_embedding: layer that maps (features, mask) to codes of size `hidden_dim`.
            Default: `SinePositionEmbedding(hidden_dim)`.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        pyramid: dict of level name -> (batch, height, width, channels); the highest level is used.
        pixel_mask: (batch, image height, image width), non-zero on the image and 0 on padding, or
            `None` if nothing is padded.

    Returns:
        dict of "tokens" (batch, tokens, hidden_dim), "positions" (batch or 1, tokens, hidden_dim)
        and "mask" (bool (batch, tokens), true on the image; or `None`).

    Example:
        ```python
        neck = keras_detr.SingleScaleNeck(hidden_dim=64)
        seen = neck({"P5": np.ones((1, 2, 3, 32), "float32")}, None)
        print(seen["tokens"].shape)  # (1, 6, 64)
        ```

    Source: Carion et al. 2020, section 3.2; models/detr.py of the original.
    """

    def __init__(
        self, hidden_dim: int = 256, position_embedding: Any = None, **kwargs: Any
    ) -> None:
        check_counts(MOST_CHANNELS, hidden_dim=hidden_dim)
        super().__init__(hidden_dim, position_embedding, **kwargs)

    def build(self, pyramid_shape, pixel_mask_shape=None):
        """Create the projection."""
        feature_shape = pyramid_shape[coarsest_level(pyramid_shape)]
        kernel_initializer, bias_initializer = torch_linear_initializers(feature_shape[-1])
        self.input_projection = keras.layers.Conv2D(
            self.hidden_dim,
            1,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            data_format="channels_last",
            dtype=self.dtype_policy,
            name="input_projection",
        )
        self.input_projection.build(feature_shape)
        if not self.position_embedding.built:
            self.position_embedding.build((*feature_shape[:-1], self.hidden_dim))

    def call(self, pyramid, pixel_mask=None):
        """Return tokens, positions and mask."""
        features = self.input_projection(pyramid[coarsest_level(pyramid)])
        mask = None
        if pixel_mask is not None:
            mask = mask_of_map(ops.cast(pixel_mask, "bool"), features)
        positions = self.position_embedding(features, mask)
        return {
            "tokens": flatten_map(features),
            "positions": flatten_map(positions),
            "mask": None if mask is None else flatten_map(ops.expand_dims(mask, -1))[..., 0],
        }

    def compute_output_shape(self, pyramid_shape, pixel_mask_shape=None):
        """Return the shapes of tokens, positions and, with a `pixel_mask`, mask."""
        batch, height, width, _ = pyramid_shape[coarsest_level(pyramid_shape)]
        num_tokens = None if None in (height, width) else height * width
        masks = {} if pixel_mask_shape is None else {"mask": (batch, num_tokens)}
        return {
            "tokens": (batch, num_tokens, self.hidden_dim),
            "positions": (batch if masks else 1, num_tokens, self.hidden_dim),
            **masks,
        }

    def compute_output_spec(self, pyramid, pixel_mask=None):
        """Return what stands for the outputs in a functional model, where all are tensors."""
        if pixel_mask is None:
            raise NotImplementedError(
                "`SingleScaleNeck` can be called with `keras.Input` only if there is a "
                "`pixel_mask`. Pass `keras.Input((None, None))` for it."
            )
        return super().compute_output_spec(pyramid, pixel_mask)


def coarsest_level(pyramid):
    """Return the name of a pyramid's highest level, whose map this neck reads."""
    return max(pyramid, key=lambda level: int(level[1:]))
