"""Encoder layers and stacks against NumPy, and against torch's layers with the same weights."""

import keras
import numpy as np
import pytest

from keras_detr.layers import DETREncoder, DETREncoderLayer
from tests.layers.layer_checks import (
    check_config,
    check_saved,
    encoder_layer,
    layer_norm,
    randomize,
    saves,
    to_numpy,
    weights_of,
)
from tests.layers.torch_layers import torch_encoder_layer

SIZE, SETTINGS = 8, {"num_heads": 2, "feed_forward_dim": 12}


def inputs(seed=1, batch=3, tokens=6):
    rng = np.random.default_rng(seed)
    mask = np.arange(tokens)[None, None] < np.array([6, 4, 1])[:, None, None]
    x, positions = (rng.normal(size=(batch, tokens, SIZE)).astype("float32") for _ in range(2))
    return x, positions, mask


def built(kind, **kwargs):
    layer = kind(**SETTINGS, **kwargs)
    layer.build((None, 6, SIZE))
    randomize(layer)
    return layer


@pytest.mark.every_backend
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("normalize_before", [False, True])
def test_layer(normalize_before, is_masked):
    layer = built(DETREncoderLayer, normalize_before=normalize_before)
    x, positions, mask = inputs()
    result = layer(x, positions, attention_mask=mask if is_masked else None)
    full = np.broadcast_to(mask, (3, 6, 6)) if is_masked else None
    expected = encoder_layer(x, positions, weights_of(layer), "", full, normalize_before)
    np.testing.assert_allclose(to_numpy(result), expected, atol=2e-5)


@pytest.mark.every_backend
@pytest.mark.parametrize("normalize_before", [False, True])
def test_stack(normalize_before):
    """Positions enter at every layer, and only pre-norm ends with a normalization."""
    stack = built(DETREncoder, num_layers=3, normalize_before=normalize_before)
    x, positions, mask = inputs()
    full, weights = np.broadcast_to(mask, (3, 6, 6)), weights_of(stack)
    expected = x
    for i in range(3):
        expected = encoder_layer(
            expected, positions, weights, f"layer_{i}/", full, normalize_before
        )
    if normalize_before:
        expected = layer_norm(expected, weights, "norm")
    assert ("norm/gamma" in weights) == normalize_before
    result = stack(x, positions, attention_mask=mask)
    np.testing.assert_allclose(to_numpy(result), expected, atol=5e-5)
    # One row of positions serves the whole batch.
    shared = stack(x, positions[:1], attention_mask=mask)
    np.testing.assert_allclose(to_numpy(shared)[0], to_numpy(result)[0], atol=1e-5)


@pytest.mark.every_backend
def test_padding_has_no_influence():
    stack = built(DETREncoder, num_layers=2)
    x, positions, mask = inputs()
    before = to_numpy(stack(x, positions, attention_mask=mask))
    x[1, 4:], positions[1, 4:] = 50.0, -50.0
    after = to_numpy(stack(x, positions, attention_mask=mask))
    np.testing.assert_allclose(after[1, :4], before[1, :4], atol=1e-5)
    short = stack(x[1:2, :4], positions[1:2, :4])
    np.testing.assert_allclose(to_numpy(short)[0], before[1, :4], atol=1e-5)


@pytest.mark.every_backend
def test_dropout_only_in_training():
    layer = built(DETREncoderLayer, dropout=0.5)
    x, positions, _ = inputs()
    calm = to_numpy(layer(x, positions))
    np.testing.assert_allclose(calm, encoder_layer(x, positions, weights_of(layer)), atol=2e-5)
    first, second = (to_numpy(layer(x, positions, training=True)) for _ in range(2))
    assert np.abs(first - calm).max() > 1e-2
    assert np.abs(first - second).max() > 1e-2


@pytest.mark.every_backend
def test_dropout_stands_where_the_paper_has_it():
    """On attention weights, after both sub-layers, and inside of the feed-forward network."""
    layer = built(DETREncoderLayer, dropout=0.3)
    assert layer.self_attn.dropout == 0.3
    assert layer.residual_dropout.rate == 0.3
    assert layer.feed_forward.inner_dropout.rate == 0.3


@pytest.mark.every_backend
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_finite_and_near(dtype):
    x, positions, mask = inputs()
    stack = DETREncoder(**SETTINGS, num_layers=2, dtype=dtype)
    stack.build(x.shape)
    twin = DETREncoder(**SETTINGS, num_layers=2)
    twin.build(x.shape)
    randomize(stack)
    randomize(twin)
    result = stack(x, positions, attention_mask=mask)
    assert keras.backend.standardize_dtype(result.dtype) == dtype.removeprefix("mixed_")
    assert {keras.backend.standardize_dtype(w.dtype) for w in stack.weights} == {"float32"}
    expected = to_numpy(twin(x, positions, attention_mask=mask))
    # Some dozens of roundings to 8 or 11 bits.
    unit = 2.0**-8 if "bf" in dtype else 2.0**-11
    assert np.abs(to_numpy(result) - expected).max() <= 16 * unit * np.abs(expected).max()


@pytest.mark.every_backend
def test_heads_that_do_not_divide_the_size_are_shown():
    with pytest.raises(ValueError, match=r"`num_heads` must divide.*num_heads=3, size 8"):
        DETREncoderLayer(num_heads=3).build((None, 6, SIZE))


@pytest.mark.every_backend
@saves
def test_round_trips(tmp_path):
    settings = {**SETTINGS, "dropout": 0.2, "activation": "gelu", "normalize_before": True}
    layer = check_config(DETREncoderLayer(**settings))
    stack = check_config(DETREncoder(num_layers=3, **settings))
    assert stack.num_layers == 3
    for copy in (layer, stack):
        assert copy.transformer_settings() == settings
    for i, kind in enumerate((DETREncoderLayer, DETREncoder)):
        folder = tmp_path / str(i)
        folder.mkdir()
        layer = kind(**SETTINGS, normalize_before=True)
        check_saved(layer, lambda layer, *x: layer(*x), [(6, SIZE), (6, SIZE)], folder)


@pytest.mark.parametrize("normalize_before", [False, True])
def test_layer_equals_torch(normalize_before):
    torch = pytest.importorskip("torch", reason="torch isn't installed")
    layer = built(DETREncoderLayer, normalize_before=normalize_before)
    x, _, mask = inputs()
    peer = torch_encoder_layer(weights_of(layer), normalize_before)
    with torch.no_grad():
        # Torch's layer knows no positions, so there are none.
        expected = peer(
            torch.tensor(x).double(), src_key_padding_mask=torch.tensor(~mask[:, 0])
        ).numpy()
    result = to_numpy(layer(x, np.zeros_like(x), attention_mask=mask))
    for image, is_valid in enumerate(mask[:, 0]):
        np.testing.assert_allclose(result[image, is_valid], expected[image, is_valid], atol=1e-5)
