"""The layer against its equation, on top of the one that samples point by point."""

import numpy as np
import pytest
from keras import ops

from keras_detr.layers import MultiScaleDeformableAttention
from tests.layers.layer_checks import check_config, dense, randomize, to_numpy, weights_of
from tests.ops.test_deformable_attention import attend

pytestmark = pytest.mark.every_backend

SHAPES = ((6, 8), (3, 4))
HEADS, LEVELS, POINTS, WIDTH = 2, 2, 3, 8


def layer_and_inputs(num_coordinates=2, **kwargs):
    """Return a layer with random weights, queries, references and tokens."""
    layer = MultiScaleDeformableAttention(HEADS, LEVELS, POINTS, **kwargs)
    layer.build((None, 5, WIDTH))
    randomize(layer)
    generator = np.random.default_rng(1)
    queries = generator.normal(size=(2, 5, WIDTH)).astype("float32")
    references = generator.uniform(0.1, 0.9, (2, 5, LEVELS, num_coordinates)).astype("float32")
    tokens = generator.normal(size=(2, 60, WIDTH)).astype("float32")
    return layer, queries, references, tokens


def by_equation(layer, queries, references, tokens, token_mask=None):
    """Compute equation 3 in float64."""
    weights = weights_of(layer)
    values = dense(tokens, weights, "value_proj")
    if token_mask is not None:
        values = values * token_mask[..., None]
    samples = (2, 5, HEADS, LEVELS, POINTS)
    offsets = dense(queries, weights, "sampling_offsets").reshape(*samples, 2)
    logits = dense(queries, weights, "attention_weights").reshape(2, 5, HEADS, -1)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    places = references.astype("float64")[:, :, None, :, None]
    if references.shape[-1] == 2:
        sizes = np.array([(width, height) for height, width in SHAPES])[:, None]
        locations = places + offsets / sizes
    else:
        locations = places[..., :2] + offsets / POINTS * places[..., 2:] * 0.5
    values = values.reshape(2, 60, HEADS, -1)
    sums = attend(values, locations, shares.reshape(samples), SHAPES)
    return dense(sums, weights, "output_proj")


@pytest.mark.parametrize("num_coordinates", [2, 4])
def test_equation(num_coordinates):
    layer, *inputs = layer_and_inputs(num_coordinates)
    found, (locations, weights) = layer(*inputs, spatial_shapes=SHAPES)
    np.testing.assert_allclose(to_numpy(found), by_equation(layer, *inputs), atol=1e-5)
    assert tuple(locations.shape) == (2, 5, HEADS, LEVELS, POINTS, 2)
    np.testing.assert_allclose(to_numpy(weights).sum((-2, -1)), 1, atol=1e-5)


def test_padding_reads_as_zero():
    layer, queries, references, tokens = layer_and_inputs()
    token_mask = np.random.default_rng(2).uniform(size=(2, 60)) < 0.6
    expected = by_equation(layer, queries, references, tokens, token_mask)
    tokens[~token_mask] = 1e6
    found, _ = layer(
        queries,
        references,
        tokens,
        spatial_shapes=SHAPES,
        token_mask=ops.convert_to_tensor(token_mask),
    )
    np.testing.assert_allclose(to_numpy(found), expected, atol=1e-5)


def test_points_start_on_rays_and_count_alike():
    layer = MultiScaleDeformableAttention(8, 4, 3)
    layer.build((None, None, 32))
    weights = weights_of(layer)
    assert not weights["sampling_offsets/kernel"].any()
    rays = weights["sampling_offsets/bias"].reshape(8, 4, 3, 2)
    square = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]
    for (head, _level, point), ray in zip(np.ndindex(8, 4, 3), rays.reshape(-1, 2), strict=True):
        np.testing.assert_allclose(ray, np.multiply(square[head], point + 1), atol=1e-6)
    for name in ("kernel", "bias"):
        assert not weights[f"attention_weights/{name}"].any()


def test_places_stay_exact_in_half_precision():
    exact, *inputs = layer_and_inputs()
    layer, *_ = layer_and_inputs(dtype="mixed_bfloat16")
    # A smooth map would hide a place that moved.
    expected = to_numpy(exact(*inputs, spatial_shapes=SHAPES)[0])
    # A quarter of a pixel off, as in bfloat16, is far more than the rounding of values.
    rounded = [inputs[0], inputs[1] + 0.25 / 8, inputs[2]]
    moved = np.abs(to_numpy(exact(*rounded, spatial_shapes=SHAPES)[0]) - expected).mean()
    found = to_numpy(layer(*inputs, spatial_shapes=SHAPES)[0])
    assert np.abs(found - expected).mean() < 0.1 * moved


def test_config():
    layer, *_ = layer_and_inputs()
    assert check_config(layer).num_points == POINTS


def test_heads_must_divide_the_size():
    with pytest.raises(ValueError, match="`num_heads` must divide"):
        MultiScaleDeformableAttention(3).build((None, None, 8))
