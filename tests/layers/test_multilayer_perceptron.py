import keras
import numpy as np
import pytest

from keras_detr.layers import MultilayerPerceptron
from tests.layers.layer_checks import (
    check_config,
    check_saved,
    dense,
    randomize,
    saves,
    to_numpy,
    weights_of,
)

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("shape", [(2, 8), (2, 5, 8), (2, 3, 5, 8)])
def test_relu_in_between_and_none_at_the_end(shape, num_layers):
    layer = MultilayerPerceptron(16, 4, num_layers)
    layer.build(shape)
    randomize(layer)
    # So that some results are negative, which a relu at the end would hide.
    layer.dense_layers[-1].bias.assign(np.full(4, -1.0, "float32"))
    x = np.random.default_rng(1).normal(size=shape).astype("float32")
    weights, expected = weights_of(layer), x
    for i in range(num_layers):
        expected = dense(expected, weights, f"layer_{i}")
        if i < num_layers - 1:
            expected = np.maximum(expected, 0)
    result = to_numpy(layer(x))
    assert (result < 0).any()
    assert result.shape == (*shape[:-1], 4) == layer.compute_output_shape(shape)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_values_start_as_in_the_original():
    """Torch's linear layers are uniform in 1 / sqrt(inputs)."""
    layer = MultilayerPerceptron(128, 64, 2)
    layer.build((None, 256))
    for name, size in (("layer_0", 256), ("layer_1", 128)):
        for part in ("kernel", "bias"):
            values, limit = weights_of(layer)[f"{name}/{part}"], 1 / np.sqrt(size)
            assert 0.9 * limit < np.abs(values).max() <= limit * (1 + 1e-6)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_dtype(dtype):
    output = MultilayerPerceptron(16, 4, dtype=dtype)(np.ones((2, 8), "float32"))
    assert keras.backend.standardize_dtype(output.dtype) == dtype.removeprefix("mixed_")
    assert np.isfinite(to_numpy(output)).all()


@saves
def test_round_trips(tmp_path):
    copy = check_config(MultilayerPerceptron(16, 4, num_layers=2))
    assert (copy.hidden_dim, copy.output_dim, copy.num_layers) == (16, 4, 2)
    check_saved(MultilayerPerceptron(16, 4), lambda layer, x: layer(x), [(5, 8)], tmp_path)
