"""Decoder layers and stacks against NumPy, and against torch's layer with the same weights."""

import keras
import numpy as np
import pytest

from keras_detr.layers import DETRDecoder, DETRDecoderLayer
from tests.layers.layer_checks import (
    check_config,
    check_saved,
    decoder_layer,
    layer_norm,
    randomize,
    saves,
    to_numpy,
    weights_of,
)
from tests.layers.torch_layers import torch_decoder_layer

SIZE, SETTINGS = 8, {"num_heads": 2, "feed_forward_dim": 12}
QUERIES = 4


def inputs(seed=1):
    """Return memory, positions, mask, states, and query positions."""
    rng = np.random.default_rng(seed)
    mask = np.arange(6)[None, None] < np.array([6, 4, 1])[:, None, None]
    shapes = [(3, 6, SIZE), (3, 6, SIZE), (3, QUERIES, SIZE), (1, QUERIES, SIZE)]
    memory, positions, states, places = (rng.normal(size=s).astype("float32") for s in shapes)
    return memory, positions, mask, states, places


def built_layer(**kwargs):
    layer = DETRDecoderLayer(**SETTINGS, **kwargs)
    layer.build((None, QUERIES, SIZE), (None, 6, SIZE))
    randomize(layer)
    return layer


def built_stack(seed=0, **kwargs):
    stack = DETRDecoder(QUERIES, **{"num_layers": 3, **SETTINGS, **kwargs})
    stack.build((None, 6, SIZE))
    randomize(stack, seed)
    return stack


@pytest.mark.every_backend
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("normalize_before", [False, True])
def test_layer(normalize_before, is_masked):
    layer = built_layer(normalize_before=normalize_before)
    memory, positions, mask, states, places = inputs()
    result, nothing = layer(
        states, memory, memory + positions, places, attention_mask=mask if is_masked else None
    )
    assert nothing == ()
    full = np.broadcast_to(mask, (3, QUERIES, 6)) if is_masked else None
    expected = decoder_layer(
        states, memory, positions, places, weights_of(layer), "", full, normalize_before
    )
    np.testing.assert_allclose(to_numpy(result), expected, atol=2e-5)


@pytest.mark.every_backend
@pytest.mark.parametrize("normalize_before", [False, True])
def test_stack(normalize_before):
    """States start at zero; each is normalized for the heads, and goes on without that."""
    stack = built_stack(normalize_before=normalize_before)
    memory, positions, mask, *_ = inputs()
    weights, full = weights_of(stack), np.broadcast_to(mask, (3, QUERIES, 6))
    state, expected = np.zeros((3, QUERIES, SIZE)), []
    for i in range(3):
        state = decoder_layer(
            state,
            memory,
            positions,
            weights["query_embeddings"],
            weights,
            f"layer_{i}/",
            full,
            normalize_before,
        )
        expected.append(layer_norm(state, weights, "norm"))
    result, nothing = stack(memory, positions, attention_mask=mask)
    assert nothing == ()
    assert tuple(result.shape) == (3, 3, QUERIES, SIZE)
    np.testing.assert_allclose(to_numpy(result), np.stack(expected, 1), atol=5e-5)
    last, _ = stack(memory, positions, attention_mask=mask, return_intermediate=False)
    assert tuple(last.shape) == (3, 1, QUERIES, SIZE)
    np.testing.assert_allclose(to_numpy(last)[:, 0], to_numpy(result)[:, -1], atol=1e-6)
    # One row of positions serves the whole batch.
    shared, _ = stack(memory, positions[:1], attention_mask=mask)
    np.testing.assert_allclose(to_numpy(shared)[0], to_numpy(result)[0], atol=1e-5)


@pytest.mark.every_backend
def test_symbolic_shapes():
    memory, positions = keras.Input((None, SIZE)), keras.Input((None, SIZE))
    stack = built_stack()
    assert stack(memory, positions)[0].shape == (None, 3, QUERIES, SIZE)
    last, _ = stack(memory, positions, return_intermediate=False)
    assert last.shape == (None, 1, QUERIES, SIZE)


@pytest.mark.every_backend
def test_padding_has_no_influence():
    stack = built_stack()
    memory, positions, mask, *_ = inputs()
    before = to_numpy(stack(memory, positions, attention_mask=mask)[0])
    memory[1, 4:], positions[1, 4:] = 50.0, -50.0
    after = to_numpy(stack(memory, positions, attention_mask=mask)[0])
    np.testing.assert_allclose(after[1], before[1], atol=1e-5)


@pytest.mark.every_backend
def test_dropout_only_in_training():
    stack = built_stack(dropout=0.5)
    memory, positions, *_ = inputs()
    calm = to_numpy(stack(memory, positions)[0])
    np.testing.assert_array_equal(to_numpy(stack(memory, positions, training=False)[0]), calm)
    assert np.abs(to_numpy(stack(memory, positions, training=True)[0]) - calm).max() > 1e-2


@pytest.mark.every_backend
def test_query_embeddings_start_standard_normal():
    stack = DETRDecoder(100, num_layers=1, num_heads=8, feed_forward_dim=4)
    stack.build((None, None, 256))
    embeddings = to_numpy(stack.query_embeddings[...])
    assert embeddings.shape == (100, 256)
    assert embeddings.std() == pytest.approx(1.0, abs=0.02)
    assert embeddings.mean() == pytest.approx(0.0, abs=0.02)


@pytest.mark.every_backend
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_finite_and_near(dtype):
    memory, positions, mask, *_ = inputs()
    result, _ = built_stack(dtype=dtype)(memory, positions, attention_mask=mask)
    assert keras.backend.standardize_dtype(result.dtype) == dtype.removeprefix("mixed_")
    expected = to_numpy(built_stack()(memory, positions, attention_mask=mask)[0])
    # Some dozens of roundings to 8 or 11 bits.
    unit = 2.0**-8 if "bf" in dtype else 2.0**-11
    assert np.abs(to_numpy(result) - expected).max() <= 16 * unit * np.abs(expected).max()


@pytest.mark.every_backend
@saves
def test_round_trips(tmp_path):
    settings = {**SETTINGS, "dropout": 0.2, "activation": "gelu", "normalize_before": True}
    layer = check_config(DETRDecoderLayer(**settings))
    stack = check_config(DETRDecoder(5, num_layers=3, **settings))
    assert (stack.num_queries, stack.num_layers) == (5, 3)
    for copy in (layer, stack):
        assert copy.transformer_settings() == settings
    call = {
        DETRDecoderLayer: (lambda layer, s, m, p: layer(s, m, m + p, s)[0], 3),
        DETRDecoder: (lambda layer, m, p: layer(m, p)[0], 2),
    }
    for kind, (function, num_inputs) in call.items():
        folder = tmp_path / kind.__name__
        folder.mkdir()
        check_saved(kind(**SETTINGS), function, [(6, SIZE)] * num_inputs, folder)


@pytest.mark.parametrize("normalize_before", [False, True])
def test_layer_equals_torch(normalize_before):
    torch = pytest.importorskip("torch", reason="torch isn't installed")
    layer = built_layer(normalize_before=normalize_before)
    memory, _, mask, states, places = inputs()
    peer = torch_decoder_layer(weights_of(layer), normalize_before)
    with torch.no_grad():
        # Torch's layer knows no positions, so there are none.
        expected = peer(
            torch.tensor(states).double(),
            torch.tensor(memory).double(),
            memory_key_padding_mask=torch.tensor(~mask[:, 0]),
        ).numpy()
    result, _ = layer(states, memory, memory, np.zeros_like(places), attention_mask=mask)
    np.testing.assert_allclose(to_numpy(result), expected, atol=1e-5)
