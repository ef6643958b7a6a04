"""Attention against NumPy, one head at a time, and against torch with the same weights."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.layers.primitives.multi_head_attention import MultiHeadAttention
from tests.layers.layer_checks import (
    attention,
    check_config,
    check_saved,
    randomize,
    saves,
    to_numpy,
    weights_of,
)

HEADS, HEAD_SIZE, SIZE = 2, 4, 8


def layer_and_inputs(seed=1, batch=3, targets=5, sources=6, **kwargs):
    layer = MultiHeadAttention(HEADS, HEAD_SIZE, **kwargs)
    layer.build((batch, targets, SIZE), (batch, sources, SIZE))
    randomize(layer, seed)
    rng = np.random.default_rng(seed)
    shapes = [(batch, targets, SIZE), (batch, sources, SIZE), (batch, sources, SIZE)]
    return layer, [rng.normal(size=shape).astype("float32") for shape in shapes]


def masks(targets=5, sources=6):
    rng = np.random.default_rng(2)
    padding = np.arange(sources)[None, None] < np.array([6, 4, 1])[:, None, None]
    return {"none": None, "padding": padding, "any": rng.uniform(size=(3, targets, sources)) < 0.6}


@pytest.mark.every_backend
@pytest.mark.parametrize("name", ["none", "padding", "any"])
def test_output_and_scores(name):
    layer, (query, value, key) = layer_and_inputs()
    mask = masks()[name]
    output, (scores,) = layer(query, value, key, attention_mask=mask, return_weights=True)
    full = None if mask is None else np.broadcast_to(mask, (3, 5, 6))
    expected, weights = attention(query, value, key, weights_of(layer), "", full)
    np.testing.assert_allclose(to_numpy(output), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(to_numpy(scores), weights, atol=1e-5)
    np.testing.assert_allclose(to_numpy(scores).sum(-1), 1, atol=1e-5)
    alone, nothing = layer(query, value, key, attention_mask=mask)
    assert nothing == ()
    np.testing.assert_allclose(to_numpy(alone), to_numpy(output), atol=1e-6)


@pytest.mark.every_backend
def test_what_is_masked_has_no_influence():
    layer, (query, value, key) = layer_and_inputs()
    mask = masks()["padding"]
    output = to_numpy(layer(query, value, key, attention_mask=mask)[0])
    for x in (value, key):
        x[1, 4:] = 1e3
    again, _ = layer(query, value, key, attention_mask=mask)
    np.testing.assert_array_equal(to_numpy(again), output)


@pytest.mark.every_backend
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_row_without_any_source_is_no_nan(dtype):
    """In float16 the mask's bias would be infinite, and the softmax NaN."""
    layer, (query, value, key) = layer_and_inputs(dtype=dtype)
    mask = np.zeros((3, 1, 6), bool)
    output, (scores,) = layer(query, value, key, attention_mask=mask, return_weights=True)
    assert np.isfinite(to_numpy(output)).all()
    np.testing.assert_allclose(to_numpy(scores), 1 / 6, rtol=1e-2)


@pytest.mark.every_backend
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(dtype):
    layer, (query, value, key) = layer_and_inputs(dtype=dtype)
    output, _ = layer(query, value, key, attention_mask=masks()["padding"])
    assert keras.backend.standardize_dtype(output.dtype) == dtype.removeprefix("mixed_")
    full = np.broadcast_to(masks()["padding"], (3, 5, 6))
    expected, _ = attention(query, value, key, weights_of(layer), "", full)
    # A few roundings to 8 or 11 bits.
    unit = 2.0**-8 if "bf" in dtype else 2.0**-11
    assert np.abs(to_numpy(output) - expected).max() <= 8 * unit * np.abs(expected).max()


@pytest.mark.every_backend
@pytest.mark.parametrize("name", ["none", "padding"])
def test_the_softmax_is_computed_in_float32(monkeypatch, name):
    dtypes, softmax = [], ops.softmax

    def spy(scores, axis=-1):
        dtypes.append(keras.backend.standardize_dtype(scores.dtype))
        return softmax(scores, axis=axis)

    layer, inputs = layer_and_inputs(dtype="mixed_float16")
    monkeypatch.setattr(ops, "softmax", spy)
    layer(*inputs, attention_mask=masks()[name], return_weights=True)
    assert dtypes == ["float32"]


@pytest.mark.every_backend
def test_dropout_only_in_training():
    layer, inputs = layer_and_inputs(dropout=0.5)
    expected, _ = attention(*inputs, weights_of(layer), "")
    calm = to_numpy(layer(*inputs, training=False)[0])
    np.testing.assert_allclose(calm, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(to_numpy(layer(*inputs, training=True)[0]) - calm).max() > 1e-2


@pytest.mark.every_backend
def test_kernels_start_as_in_the_original():
    """Query, key and value are one (3 * size, size) matrix there, the output one of its own."""
    size = 64
    layer = MultiHeadAttention(4, size // 4)
    layer.build((None, 5, size), (None, 5, size))
    weights = weights_of(layer)
    limits = dict.fromkeys(("query", "key", "value"), np.sqrt(6 / (4 * size)))
    limits["attention_output"] = np.sqrt(6 / (2 * size))
    for name, limit in limits.items():
        kernel = weights[f"{name}/kernel"]
        # Of 4,096 uniform draws the largest comes this close to the limit.
        assert 0.99 * limit <= np.abs(kernel).max() <= limit
        np.testing.assert_array_equal(weights[f"{name}/bias"], 0)
    kernels = [weights[f"{name}/kernel"].ravel() for name in limits]
    for i, kernel in enumerate(kernels):
        for other in kernels[:i]:
            assert abs(np.corrcoef(kernel, other)[0, 1]) < 0.1


@pytest.mark.every_backend
@saves
def test_round_trips(tmp_path):
    copy = check_config(MultiHeadAttention(HEADS, HEAD_SIZE, dropout=0.2))
    assert (copy.num_heads, copy.key_dim, copy.dropout) == (HEADS, HEAD_SIZE, 0.2)
    layer = MultiHeadAttention(HEADS, HEAD_SIZE)
    check_saved(layer, lambda layer, x, y: layer(x, y)[0], [(5, SIZE), (6, SIZE)], tmp_path)


def test_equals_torch():
    torch = pytest.importorskip("torch", reason="torch isn't installed")
    layer, (query, value, key) = layer_and_inputs()
    weights = weights_of(layer)
    peer = torch.nn.MultiheadAttention(SIZE, HEADS, batch_first=True)
    names = ("query", "key", "value")
    kernels = [weights[f"{name}/kernel"].reshape(SIZE, SIZE).T for name in names]
    biases = [weights[f"{name}/bias"].ravel() for name in names]
    output = weights["attention_output/kernel"].reshape(SIZE, SIZE).T
    state = {
        "in_proj_weight": np.concatenate(kernels),
        "in_proj_bias": np.concatenate(biases),
        "out_proj.weight": output,
        "out_proj.bias": weights["attention_output/bias"],
    }
    peer.load_state_dict({name: torch.tensor(x.copy()) for name, x in state.items()})
    mask = masks()["padding"]
    with torch.no_grad():
        expected, expected_scores = peer.double()(
            *(torch.tensor(x).double() for x in (query, key, value)),
            key_padding_mask=torch.tensor(~mask[:, 0]),
            average_attn_weights=False,
        )
    result, (scores,) = layer(query, value, key, attention_mask=mask, return_weights=True)
    np.testing.assert_allclose(to_numpy(result), expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(to_numpy(scores), expected_scores.numpy(), atol=1e-5)
    assert ops.is_tensor(result)
