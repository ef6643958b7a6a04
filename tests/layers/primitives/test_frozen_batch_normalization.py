import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.layers import FrozenBatchNormalization
from tests.layers.layer_checks import check_config, check_saved, saves, to_numpy

pytestmark = pytest.mark.every_backend


def with_random_values(epsilon=1e-5, **kwargs):
    layer = FrozenBatchNormalization(epsilon=epsilon, **kwargs)
    layer.build((None, None, None, 5))
    rng = np.random.default_rng(1)
    values = {name: rng.normal(size=5) for name in ("gamma", "beta", "moving_mean")}
    values["moving_variance"] = rng.uniform(1e-6, 2, 5)
    for name, value in values.items():
        getattr(layer, name).assign(value.astype("float32"))
    return layer, values


def expected(x, values, epsilon=1e-5):
    scaled = (x - values["moving_mean"]) / np.sqrt(values["moving_variance"] + epsilon)
    return scaled * values["gamma"] + values["beta"]


@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
@pytest.mark.parametrize("training", [False, True])
def test_formula(training, epsilon):
    layer, values = with_random_values(epsilon)
    x = np.random.default_rng(2).normal(size=(2, 3, 4, 5))
    layer.trainable = training
    result = to_numpy(layer(ops.convert_to_tensor(x, "float32")))
    np.testing.assert_allclose(result, expected(x, values, epsilon), rtol=1e-5, atol=1e-5)


def test_new_layers_change_almost_nothing():
    x = np.random.default_rng(3).normal(size=(2, 5)).astype("float32")
    np.testing.assert_allclose(to_numpy(FrozenBatchNormalization()(x)), x, rtol=1e-5)


def test_nothing_is_trainable_whatever_trainable_says():
    layer, _ = with_random_values()
    for trainable in (True, False, True):
        layer.trainable = trainable
        assert layer.trainable_weights == []
        assert [w.name for w in layer.weights] == [
            "gamma",
            "beta",
            "moving_mean",
            "moving_variance",
        ]


def test_training_changes_nothing_in_it():
    layer, _ = with_random_values()
    dense = keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((5,)), layer, dense])
    layer.trainable = True
    before = [to_numpy(weight[...]) for weight in model.weights]
    model.compile("sgd", "mse")
    rng = np.random.default_rng(4)
    model.fit(rng.normal(size=(8, 5)), rng.normal(size=(8, 2)), verbose=0)
    after = [to_numpy(weight[...]) for weight in model.weights]
    # The four of the frozen layer come first, then the dense layer's two.
    assert [np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == 4 * [True] + 2 * [
        False
    ]


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_factors_are_computed_in_float32(dtype):
    layer, values = with_random_values(dtype=dtype)
    assert {keras.backend.standardize_dtype(w.dtype) for w in layer.weights} == {"float32"}
    # In half precision a variance of 1e-8 and epsilon of 1e-5 would be 0 or rounded away.
    layer.moving_variance.assign(np.full(5, 1e-8, "float32"))
    values["moving_variance"] = np.full(5, 1e-8)
    x = np.random.default_rng(5).normal(size=(4, 5))
    result = layer(ops.convert_to_tensor(x, "float32"))
    assert keras.backend.standardize_dtype(result.dtype) == dtype.removeprefix("mixed_")
    exact = expected(x, values)
    # Three roundings to the 8 bits of bfloat16 or the 11 bits of float16.
    unit = 2.0**-8 if "bf" in dtype else 2.0**-11
    assert np.abs(to_numpy(result) - exact).max() <= 4 * unit * np.abs(exact).max()


@saves
def test_round_trips(tmp_path):
    assert check_config(FrozenBatchNormalization(epsilon=0.3, name="bn")).epsilon == 0.3
    layer, _ = with_random_values()
    np.testing.assert_array_equal(layer.compute_output_shape((1, 2, 3, 5)), (1, 2, 3, 5))
    layer.moving_variance.assign(np.ones(5, "float32"))
    check_saved(FrozenBatchNormalization(), lambda layer, x: layer(ops.abs(x)), [(3, 5)], tmp_path)
