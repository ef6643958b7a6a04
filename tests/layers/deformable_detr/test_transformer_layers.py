"""Where positions enter a layer, and in which order sub-layers are called."""

import numpy as np
import pytest
from keras import ops

from keras_detr.layers import DeformableDecoderLayer, DeformableEncoderLayer
from tests.layers.layer_checks import randomize, to_numpy

pytestmark = pytest.mark.every_backend

SHAPES = ((6, 8), (3, 4))
SIZE, TOKENS = 8, 60
SETTINGS = {"num_levels": 2, "num_points": 3, "num_heads": 2, "feed_forward_dim": 12}


def arrays(count, positions_batch):
    """Return tokens or states, their positions, and their reference points."""
    rng = np.random.default_rng(1)
    shapes = [(2, count, SIZE), (positions_batch, count, SIZE)]
    tokens, positions = (rng.normal(size=shape) for shape in shapes)
    references = rng.uniform(0.1, 0.9, (2, count, 2, 2))
    return [ops.convert_to_tensor(x, "float32") for x in (tokens, positions, references)]


@pytest.mark.parametrize("positions_batch", [1, 2])
@pytest.mark.parametrize("normalize_before", [False, True])
def test_encoder_layer(normalize_before, positions_batch):
    layer = DeformableEncoderLayer(**SETTINGS, dropout=0.0, normalize_before=normalize_before)
    layer.build((None, TOKENS, SIZE))
    randomize(layer)
    x, positions, references = arrays(TOKENS, positions_batch)
    found = layer(x, positions, references, spatial_shapes=SHAPES)

    def attend(x):
        return layer.self_attn(x + positions, references, x, spatial_shapes=SHAPES)[0]

    if normalize_before:
        expected = x + attend(layer.norm1(x))
        expected = expected + layer.feed_forward(layer.norm2(expected))
    else:
        expected = layer.norm1(x + attend(x))
        expected = layer.norm2(expected + layer.feed_forward(expected))
    np.testing.assert_allclose(to_numpy(found), to_numpy(expected), atol=1e-5)


@pytest.mark.parametrize("positions_batch", [1, 2])
def test_decoder_layer(positions_batch):
    layer = DeformableDecoderLayer(**SETTINGS, dropout=0.0)
    layer.build((None, 5, SIZE))
    randomize(layer)
    x, positions, references = arrays(5, positions_batch)
    memory = arrays(TOKENS, 1)[0]
    found, (points, weights) = layer(x, positions, references, memory, spatial_shapes=SHAPES)
    placed = x + positions
    y = layer.norm2(x + layer.self_attn(placed, x, placed)[0])
    read, _ = layer.cross_attn(y + positions, references, memory, spatial_shapes=SHAPES)
    y = layer.norm1(y + read)
    y = layer.norm3(y + layer.feed_forward(y))
    np.testing.assert_allclose(to_numpy(found), to_numpy(y), atol=1e-5)
    assert tuple(points.shape) == (2, 5, 2, 2, 3, 2)
    assert tuple(weights.shape) == (2, 5, 2, 2, 3)
