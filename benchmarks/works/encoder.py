"""Deformable DETR's encoder alone, on the tokens of one square image."""

import numpy as np
from programs import compiled


def shapes_of(side):
    """Return the heights and widths of the four maps."""
    return tuple((side // stride, side // stride) for stride in (8, 16, 32, 64))


def ours(side):
    """Return a callable that computes the six layers."""
    from keras_detr.layers.deformable_detr.encoder import DeformableEncoder

    shapes = shapes_of(side)
    num_tokens = sum(height * width for height, width in shapes)
    layer = DeformableEncoder()
    generator = np.random.default_rng(0)
    tokens = generator.normal(size=(1, num_tokens, 256)).astype("float32")
    places = generator.uniform(size=(1, num_tokens, 4, 2)).astype("float32")

    def encode(tokens, places):
        return layer(tokens, tokens, places, spatial_shapes=shapes)

    return compiled(encode, tokens, places)


CONTENDERS = {"keras_detr": ours}
