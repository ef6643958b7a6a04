"""From a feature pyramid to the tokens that Deformable DETR's encoder reads."""

from typing import Any

import keras
from keras import ops

from keras_detr.checkpoints.counts import MOST_CHANNELS, MOST_LAYERS, check_counts
from keras_detr.layers.primitives.group_norm import GroupNorm
from keras_detr.layers.primitives.initializers import HostNormal, xavier_uniform
from keras_detr.models.necks.token_maps import flatten_map, mask_of_map
from keras_detr.models.necks.token_neck import TokenNeck


@keras.saving.register_keras_serializable("keras_detr")
class MultiScaleNeck(TokenNeck):
    """Project several feature maps to one width, and flatten them one after another.

    The maps are the backbone's highest levels from P3 on; where more are asked for, each further
    one halves the map before it (the first of them the backbone's own). Each is normalized as a
    whole, padding included, as the original does: so predictions change a little with padding.

    Args:
        hidden_dim: int, the size of a token; a multiple of `num_groups`.
        num_levels: int. 1 takes the highest level of the backbone only.
        num_groups: int, of the group normalization after each projection.
        position_embedding: layer that maps (features, mask) to codes of size `hidden_dim`.
            Default: `SinePositionEmbedding(hidden_dim, offset=-0.5)`.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        pyramid: dict of level name -> (batch, height, width, channels).
        pixel_mask: (batch, image height, image width), non-zero on the image and 0 on padding, or
            `None` if nothing is padded.

    Returns:
        dict of "tokens" (batch, tokens, hidden_dim); "positions" (batch or 1, tokens, hidden_dim),
        a level's embedding added to each; "mask", bool (batch, tokens), true on the image, or
        `None`; "spatial_shapes", a tuple of (height, width) for each level; and "valid_ratios",
        float32 (batch or 1, levels, 2), the image's share of each map's width and height.

    Example:
        ```python
        neck = keras_detr.MultiScaleNeck(hidden_dim=64, num_levels=2)
        pyramid = {"P4": np.ones((1, 4, 6, 16), "float32"), "P5": np.ones((1, 2, 3, 32), "float32")}
        seen = neck(pyramid, None)
        print(seen["tokens"].shape, seen["spatial_shapes"])  # (1, 30, 64) ((4, 6), (2, 3))
        ```

    Source: Zhu et al. 2021, section A.2; models/deformable_detr.py of the original.
    """

    def __init__(
        self,
        hidden_dim: int = 256,
        num_levels: int = 4,
        num_groups: int = 32,
        position_embedding: Any = None,
        **kwargs: Any,
    ) -> None:
        check_counts(MOST_CHANNELS, hidden_dim=hidden_dim, num_groups=num_groups)
        check_counts(MOST_LAYERS, num_levels=num_levels)
        if hidden_dim % num_groups:
            raise ValueError(
                "`hidden_dim` must be a multiple of `num_groups`. Received: "
                f"hidden_dim={hidden_dim}, num_groups={num_groups}."
            )
        super().__init__(hidden_dim, position_embedding, offset=-0.5, **kwargs)
        self.num_levels = num_levels
        self.num_groups = num_groups

    def build(self, pyramid_shape, pixel_mask_shape=None):
        """Create a projection and a normalization for each level."""
        self._levels = _levels_from_below(pyramid_shape, self.num_levels)
        channels = [pyramid_shape[level][-1] for level in self._levels]
        self.projections, self.norms = [], []
        for index in range(self.num_levels):
            is_own = index < len(channels)
            # The first further map is computed from the backbone's last one before its projection.
            inputs = channels[min(index, len(channels) - 1)]
            inputs = inputs if index <= len(channels) else self.hidden_dim
            size = 1 if is_own else 3
            projection = keras.layers.Conv2D(
                self.hidden_dim,
                size,
                strides=1 if is_own else 2,
                kernel_initializer=xavier_uniform(size**2 * inputs, size**2 * self.hidden_dim),
                data_format="channels_last",
                dtype=self.dtype_policy,
                name=f"projection_{index}",
            )
            projection.build((None, None, None, inputs))
            norm = GroupNorm(
                self.num_groups, epsilon=1e-5, dtype=self.dtype_policy, name=f"norm_{index}"
            )
            norm.build((None, None, None, self.hidden_dim))
            self.projections.append(projection)
            self.norms.append(norm)
        self.level_embeddings = self.add_weight(
            (self.num_levels, self.hidden_dim), HostNormal(stddev=1.0), name="level_embeddings"
        )
        if not self.position_embedding.built:
            self.position_embedding.build((None, None, None, self.hidden_dim))

    def call(self, pyramid, pixel_mask=None):
        """Return tokens, positions, mask, shapes and ratios."""
        if pixel_mask is not None:
            pixel_mask = ops.cast(pixel_mask, "bool")
        tokens, positions, masks, shapes, ratios = [], [], [], [], []
        embeddings = ops.cast(self.level_embeddings, self.compute_dtype)
        for index, features in enumerate(self._maps(pyramid)):
            mask = None
            if pixel_mask is not None:
                mask = mask_of_map(pixel_mask, features)
                masks.append(flatten_map(ops.expand_dims(mask, -1))[..., 0])
                ratios.append(_valid_ratio(mask))
            codes = self.position_embedding(features, mask)
            tokens.append(flatten_map(features))
            positions.append(flatten_map(codes) + embeddings[index])
            shapes.append(tuple(ops.shape(features)[1:3]))
        is_masked = pixel_mask is not None
        whole = ops.ones((1, self.num_levels, 2), "float32")
        return {
            "tokens": ops.concatenate(tokens, axis=1),
            "positions": ops.concatenate(positions, axis=1),
            "mask": ops.concatenate(masks, axis=1) if is_masked else None,
            "spatial_shapes": _all_alike(shapes),
            "valid_ratios": ops.stack(ratios, axis=1) if is_masked else whole,
        }

    def _maps(self, pyramid):
        """Yield the projected map of each level."""
        own = [pyramid[level] for level in self._levels]
        features = None
        for index, (projection, norm) in enumerate(zip(self.projections, self.norms, strict=True)):
            if index < len(own):
                features = norm(projection(own[index]))
            else:
                source = own[-1] if index == len(own) else features
                padded = ops.pad(source, ((0, 0), (1, 1), (1, 1), (0, 0)))
                features = norm(projection(padded))
            yield features

    def compute_output_shape(self, pyramid_shape, pixel_mask_shape=None):
        """Return the shapes of the arrays among the outputs, for `summary`."""
        levels = _levels_from_below(pyramid_shape, self.num_levels)
        batch = pyramid_shape[levels[0]][0]
        sizes = [pyramid_shape[level][1:3] for level in levels]
        while len(sizes) < self.num_levels:
            sizes.append([side and (side - 1) // 2 + 1 for side in sizes[-1]])
        is_known = all(None not in size for size in sizes)
        num_tokens = sum(height * width for height, width in sizes) if is_known else None
        outer = 1 if pixel_mask_shape is None else batch
        masks = {} if pixel_mask_shape is None else {"mask": (batch, num_tokens)}
        return {
            "tokens": (batch, num_tokens, self.hidden_dim),
            "positions": (outer, num_tokens, self.hidden_dim),
            "valid_ratios": (outer, self.num_levels, 2),
            **masks,
        }

    def compute_output_spec(self, *args, **kwargs):
        """Refuse to stand in a functional model."""
        raise NotImplementedError(
            "`MultiScaleNeck` can't be called with `keras.Input`: the sizes of its maps are "
            "numbers, not tensors. Call the whole detector with it, or a layer whose `call` calls "
            "the neck."
        )

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "num_levels": self.num_levels,
            "num_groups": self.num_groups,
        }


def _levels_from_below(pyramid, num_levels):
    """Return the names of the backbone's levels that are read, the finest first."""
    levels = sorted(pyramid, key=lambda level: int(level[1:]))
    if num_levels == 1:
        return levels[-1:]
    return [level for level in levels if int(level[1:]) >= 3][:num_levels]


def _all_alike(shapes):
    """Return a tuple of (height, width), all int or, if only some are known, all tensors."""
    # Layers don't take a mixture. A program may know one side of its images and not the other.
    if all(isinstance(side, int) for shape in shapes for side in shape):
        return tuple(shapes)
    return tuple(tuple(ops.convert_to_tensor(side, "int32") for side in shape) for shape in shapes)


def _valid_ratio(mask):
    """Return the image's share of a map's width and height, float32 (batch, 2)."""
    is_image = ops.cast(mask, "float32")
    # Padding lies at the bottom and on the right, so one row and one column tell all.
    return ops.stack(
        [ops.mean(is_image[:, 0, :], axis=1), ops.mean(is_image[:, :, 0], axis=1)], axis=-1
    )
