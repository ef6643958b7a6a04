"""The codes against the formula, one position and one feature at a time."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.layers import SinePositionEmbedding
from tests.layers.layer_checks import check_config, check_saved, saves, to_numpy
from tests.ops.gradients import compiled

pytestmark = pytest.mark.every_backend


def codes_by_hand(mask, hidden_dim, temperature=10000.0, offset=0.0):
    """Return (height, width, hidden_dim) for one image's mask."""
    height, width = mask.shape
    half = hidden_dim // 2
    codes = np.zeros((height, width, hidden_dim))
    for y in range(height):
        for x in range(width):
            row, last_row = mask[: y + 1, x].sum(), mask[:, x].sum()
            column, last_column = mask[y, : x + 1].sum(), mask[y].sum()
            row = (row + offset) / (last_row + 1e-6) * 2 * math.pi
            column = (column + offset) / (last_column + 1e-6) * 2 * math.pi
            for k in range(half):
                wave = math.cos if k % 2 else math.sin
                wavelength = temperature ** (2 * (k // 2) / half)
                codes[y, x, k] = wave(row / wavelength)
                codes[y, x, half + k] = wave(column / wavelength)
    return codes


def mask_of(height, width, valid_height, valid_width):
    mask = np.zeros((height, width), bool)
    mask[:valid_height, :valid_width] = True
    return mask


SETTINGS = [
    {"hidden_dim": 8},
    {"hidden_dim": 32, "offset": -0.5},
    {"hidden_dim": 12, "temperature": 20.0, "offset": 0.25},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_with_a_mask(settings):
    masks = np.stack([mask_of(5, 7, 5, 7), mask_of(5, 7, 3, 7), mask_of(5, 7, 4, 2)])
    codes = SinePositionEmbedding(**settings)(np.zeros((3, 5, 7, 2), "float32"), masks)
    assert tuple(codes.shape) == (3, 5, 7, settings["hidden_dim"])
    for code, mask in zip(to_numpy(codes), masks, strict=True):
        expected = codes_by_hand(mask, **settings)
        np.testing.assert_allclose(code[mask], expected[mask], atol=2e-6)
    assert np.isfinite(to_numpy(codes)).all()


@pytest.mark.parametrize("settings", SETTINGS)
def test_without_a_mask(settings):
    codes = SinePositionEmbedding(**settings)(np.zeros((3, 4, 6, 2), "float32"))
    assert tuple(codes.shape) == (1, 4, 6, settings["hidden_dim"])
    expected = codes_by_hand(np.ones((4, 6)), **settings)
    np.testing.assert_allclose(to_numpy(codes)[0], expected, atol=2e-6)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (34, 25)])
def test_no_mask_is_a_full_mask(size, settings):
    layer = SinePositionEmbedding(**settings)
    features = np.zeros((2, *size, 3), "float32")
    masked = layer(features, np.ones((2, *size), bool))
    for code in to_numpy(masked):
        np.testing.assert_allclose(code, to_numpy(layer(features))[0], atol=2e-6)


@pytest.mark.parametrize("offset", [0.0, -0.5])
def test_more_padding_changes_no_valid_position(offset):
    layer = SinePositionEmbedding(16, offset=offset)
    small = layer(np.zeros((1, 5, 6, 1), "float32"), np.ones((1, 5, 6), bool))
    large = layer(np.zeros((1, 9, 8, 1), "float32"), mask_of(9, 8, 5, 6)[None])
    np.testing.assert_allclose(to_numpy(large)[:, :5, :6], to_numpy(small), atol=1e-6)


def test_inside_a_program():
    layer = SinePositionEmbedding(8)
    features = ops.zeros((2, 3, 5, 1))
    expected = to_numpy(layer(features))
    np.testing.assert_allclose(to_numpy(compiled(layer)(features)), expected, atol=2e-6)


def test_shapes_known_only_when_it_runs():
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, SinePositionEmbedding(8)(inputs))
    assert model.output_shape == (1, None, None, 8)
    for size in ((3, 5), (4, 2)):
        codes = model(np.zeros((2, *size, 1), "float32"))
        np.testing.assert_allclose(to_numpy(codes)[0], codes_by_hand(np.ones(size), 8), atol=2e-6)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_positions_are_counted_in_float32(dtype):
    """In bfloat16 a count would stop at 256."""
    layer = SinePositionEmbedding(8, dtype=dtype)
    features = np.zeros((1, 2, 600, 1), "float32")
    expected = codes_by_hand(np.ones((2, 600)), 8)
    for mask in (None, np.ones((1, 2, 600), bool)):
        codes = layer(features, mask)
        assert keras.backend.standardize_dtype(codes.dtype) == dtype.removeprefix("mixed_")
        unit = 2.0**-8 if "bf" in dtype else 2.0**-11
        np.testing.assert_allclose(to_numpy(codes)[0], expected, atol=unit)


@pytest.mark.parametrize("hidden_dim", [2, 6, 255])
def test_a_size_that_is_not_a_multiple_of_4_is_shown(hidden_dim):
    with pytest.raises(ValueError, match=rf"`hidden_dim` must be a multiple of 4.*{hidden_dim}"):
        SinePositionEmbedding(hidden_dim)


@saves
def test_round_trips(tmp_path):
    copy = check_config(SinePositionEmbedding(12, temperature=20.0, offset=-0.5))
    assert (copy.hidden_dim, copy.temperature, copy.offset) == (12, 20.0, -0.5)
    check_saved(
        SinePositionEmbedding(8, offset=-0.5),
        lambda layer, x: layer(x, ops.ones_like(x[..., 0]) > 0) + x,
        [(4, 5, 8)],
        tmp_path,
    )
