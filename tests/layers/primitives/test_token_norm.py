"""The normalization of tokens, against Keras' layer with the same weights."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.layers.primitives.token_norm import TokenNorm
from tests.layers.layer_checks import check_config, check_saved, randomize, saves, to_numpy


@pytest.mark.every_backend
@pytest.mark.parametrize("settings", [{}, {"scale": False}, {"center": False}])
def test_equals_the_layer_of_keras(settings):
    layers = [
        make(epsilon=1e-5, **settings) for make in (TokenNorm, keras.layers.LayerNormalization)
    ]
    for layer in layers:
        layer.build((None, None, 16))
    randomize(layers[0])
    for variable, other in zip(layers[1].variables, layers[0].variables, strict=True):
        variable.assign(to_numpy(other))
    x = np.random.default_rng(0).normal(2, 3, (2, 5, 16)).astype("float32")
    np.testing.assert_allclose(to_numpy(layers[0](x)), to_numpy(layers[1](x)), atol=1e-5)


@pytest.mark.every_backend
def test_half_precision():
    layer = TokenNorm(dtype="mixed_bfloat16")
    output = layer(ops.ones((2, 3, 8)))
    assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"


@saves
def test_round_trips(tmp_path):
    assert check_config(TokenNorm(epsilon=1e-4)).epsilon == 1e-4
    check_saved(TokenNorm(), lambda layer, x: layer(x), [(5, 8)], tmp_path)
