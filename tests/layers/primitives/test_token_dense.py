import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.layers.primitives.token_dense import TokenDense
from tests.layers.layer_checks import check_config, check_saved, saves, to_numpy

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("shape", [(2, 4), (2, 5, 4), (2, 3, 5, 4)])
def test_every_token_is_multiplied(shape):
    layer = TokenDense(6, activation="relu", bias_initializer="ones")
    tokens = np.random.default_rng(0).normal(size=shape).astype("float32")
    result = layer(ops.convert_to_tensor(tokens))
    expected = np.maximum(tokens @ to_numpy(layer.kernel[...]) + 1.0, 0.0)
    np.testing.assert_allclose(to_numpy(result), expected, rtol=1e-5, atol=1e-6)


def test_sizes_may_be_unknown():
    assert TokenDense(6)(keras.Input((None, None, 4))).shape == (None, None, None, 6)


@saves
def test_round_trips(tmp_path):
    check_config(TokenDense(6, activation="relu", name="dense"))
    check_saved(TokenDense(6), lambda layer, x: layer(x), [(5, 4)], tmp_path)
