import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.layers.primitives.feed_forward import FeedForward
from tests.layers.layer_checks import (
    check_config,
    check_saved,
    dense,
    feed_forward,
    randomize,
    saves,
    to_numpy,
    weights_of,
)

pytestmark = pytest.mark.every_backend


def layer_and_input(**kwargs):
    layer = FeedForward(12, **kwargs)
    layer.build((None, 5, 8))
    randomize(layer)
    return layer, np.random.default_rng(1).normal(size=(2, 5, 8)).astype("float32")


def test_formula():
    layer, x = layer_and_input()
    weights = {f"ffn/{name}": value for name, value in weights_of(layer).items()}
    np.testing.assert_allclose(to_numpy(layer(x)), feed_forward(x, weights, "ffn"), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_training_without_dropout_is_the_same(dtype):
    layer, x = layer_and_input(dtype=dtype)
    tolerance = 1e-5 if dtype == "float32" else 0.05
    np.testing.assert_allclose(
        to_numpy(layer(x, training=True)), to_numpy(layer(x)), atol=tolerance
    )


def test_another_activation():
    layer, x = layer_and_input(activation="tanh")
    weights = weights_of(layer)
    expected = dense(np.tanh(dense(x, weights, "linear1")), weights, "linear2")
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-5)


def test_dropout_only_in_training():
    layer, x = layer_and_input(dropout=0.5)
    calm = to_numpy(layer(x, training=False))
    weights = {f"ffn/{name}": value for name, value in weights_of(layer).items()}
    np.testing.assert_allclose(calm, feed_forward(x, weights, "ffn"), atol=1e-5)
    assert np.abs(to_numpy(layer(x, training=True)) - calm).max() > 1e-2


def test_values_start_as_in_the_original():
    """Xavier's kernels, and torch's biases, uniform in 1 / sqrt(inputs)."""
    layer = FeedForward(256)
    layer.build((None, None, 64))
    weights = weights_of(layer)
    for name, size in (("linear1", 64), ("linear2", 256)):
        kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
        for value, limit in ((kernel, np.sqrt(6 / (64 + 256))), (bias, 1 / np.sqrt(size))):
            assert 0.9 * limit < np.abs(value).max() <= limit * (1 + 1e-6)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_dtype(dtype):
    layer, x = layer_and_input(dtype=dtype)
    output = layer(ops.convert_to_tensor(x))
    assert keras.backend.standardize_dtype(output.dtype) == dtype.removeprefix("mixed_")
    assert np.isfinite(to_numpy(output)).all()


@saves
def test_round_trips(tmp_path):
    copy = check_config(FeedForward(12, dropout=0.3, activation="gelu"))
    assert (copy.feed_forward_dim, copy.dropout) == (12, 0.3)
    assert copy.activation is keras.activations.gelu
    check_saved(FeedForward(12), lambda layer, x: layer(x), [(5, 8)], tmp_path)
