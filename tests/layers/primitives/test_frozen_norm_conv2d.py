import os
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.layers import FrozenBatchNormalization
from keras_detr.layers.primitives.frozen_norm_conv2d import FrozenNormConv2D
from tests.layers.layer_checks import check_config, check_saved, saves, to_numpy
from tests.ops.gradients import value_and_gradients

pytestmark = pytest.mark.every_backend

SETTINGS = {"filters": 6, "kernel_size": 3, "strides": 2, "padding": "valid"}


def with_random_values(**kwargs):
    """Return a built layer whose normalization is far from the identity."""
    layer = FrozenNormConv2D(**SETTINGS, **kwargs)
    layer.build((None, None, None, 4))
    generator = np.random.default_rng(0)
    for variable in layer.weights:
        variable.assign(generator.uniform(0.5, 2.0, variable.shape))
    return layer


def images():
    return np.random.default_rng(1).normal(size=(2, 9, 7, 4)).astype("float32")


def in_two_steps(layer, x):
    """Convolve, then normalize the map."""
    convolution = keras.layers.Conv2D(**SETTINGS, use_bias=False, dtype=layer.dtype_policy)
    norm = FrozenBatchNormalization(dtype=layer.dtype_policy)
    y = norm(convolution(x))
    convolution.set_weights([to_numpy(layer.kernel[...])])
    norm.set_weights([to_numpy(variable[...]) for variable in layer.norm.weights])
    y = norm(convolution(x))
    return to_numpy(y)


def test_equals_a_convolution_and_a_normalization():
    layer = with_random_values()
    np.testing.assert_allclose(
        to_numpy(layer(images())), in_two_steps(layer, images()), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 1, "padding": "valid", "strides": 2},
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": 3, "padding": "same", "strides": 2},
        {"kernel_size": (5, 3), "padding": "same", "dilation_rate": (1, 2)},
        {"kernel_size": 2, "padding": "same"},
        {"kernel_size": 3, "padding": "valid", "dilation_rate": 2},
        {"kernel_size": 3, "padding": "same", "groups": 2},
    ],
)
def test_computes_what_the_layer_of_keras_does(settings):
    layer = FrozenNormConv2D(6, **settings)
    layer.build((None, None, None, 4))
    original = keras.layers.Conv2D(6, **settings, use_bias=False)
    original.build((None, None, None, 4))
    original.kernel.assign(to_numpy(layer.kernel[...]))
    expected = to_numpy(layer.norm(original(images())))
    np.testing.assert_allclose(to_numpy(layer(images())), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.once
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs tensorflow as the backend"
)
@pytest.mark.parametrize("filters", [64, 40, 7])
@pytest.mark.parametrize("use_relu", [False, True])
def test_large_kernels_are_applied_in_parts_to_one_image(filters, use_relu, monkeypatch):
    layer = FrozenNormConv2D(filters, 3, padding="same", use_relu=use_relu)
    layer.build((None, None, None, 512))
    generator = np.random.default_rng(0)
    for variable in layer.weights:
        variable.assign(generator.uniform(0.5, 2.0, variable.shape) - 1.0 * (variable.ndim > 1))
    x = generator.normal(size=(1, 6, 7, 512)).astype("float32")
    sizes = []
    convolve = ops.conv

    def counted(inputs, kernel, **settings):
        sizes.append(kernel.shape[-1])
        return convolve(inputs, kernel, **settings)

    monkeypatch.setattr(ops, "conv", counted)
    residual = generator.normal(size=(2, 6, 7, filters)).astype("float32")
    result = to_numpy(layer(x, residual=residual[:1]))
    # 32 filters of 512 channels are 0.6 MB.
    assert sizes == {64: [32, 32], 40: [20, 20], 7: [7]}[filters]
    sizes.clear()
    pair = to_numpy(layer(np.concatenate([x, x]), residual=residual))
    assert sizes == [filters]
    np.testing.assert_allclose(result[0], pair[0], rtol=1e-4, atol=1e-3)


def test_kernels_of_groups_stay_whole():
    settings = {"kernel_size": 3, "padding": "same", "groups": 2}
    layer = FrozenNormConv2D(128, **settings)
    layer.build((None, None, None, 512))
    original = keras.layers.Conv2D(128, **settings, use_bias=False)
    original.build((None, None, None, 512))
    original.kernel.assign(to_numpy(layer.kernel[...]))
    x = np.random.default_rng(0).normal(size=(1, 4, 5, 512)).astype("float32")
    expected = to_numpy(layer.norm(original(x)))
    np.testing.assert_allclose(to_numpy(layer(x)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sides", [(8, 8), (9, 7)])
def test_a_margin_is_zeros_on_all_sides(sides):
    x = np.random.default_rng(1).normal(size=(2, *sides, 4)).astype("float32")
    plain = with_random_values()
    layer = with_random_values(margin=1)
    expected = to_numpy(plain(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))))
    np.testing.assert_allclose(to_numpy(layer(x)), expected, rtol=1e-5, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == expected.shape
    assert layer.compute_output_shape((None, None, None, 4)) == (None, None, None, 6)


def test_a_margin_beside_other_padding_is_an_error():
    with pytest.raises(ValueError, match=r"`padding` must be \"valid\" beside a `margin`.*'same'"):
        FrozenNormConv2D(4, 3, padding="same", margin=1)


def test_rectifies():
    layer = with_random_values()
    rectified = FrozenNormConv2D(**SETTINGS, use_relu=True)
    rectified.build((None, None, None, 4))
    rectified.set_weights([to_numpy(variable[...]) for variable in layer.weights])
    x = images()
    plain = to_numpy(layer(x))
    assert (plain < 0).any()
    np.testing.assert_array_equal(to_numpy(rectified(x)), np.maximum(plain, 0))


@pytest.mark.parametrize("use_relu", [False, True])
def test_adds_a_residual_which_stays_as_it_is(use_relu):
    layer = with_random_values(use_relu=use_relu)
    plain = with_random_values()
    x = images()
    expected = to_numpy(plain(x))
    other = np.random.default_rng(3).normal(size=expected.shape).astype("float32") * 9
    residual = ops.convert_to_tensor(other.copy())
    result = to_numpy(layer(x, residual=residual))
    expected = expected + other
    assert (expected < 0).any()
    expected = np.maximum(expected, 0) if use_relu else expected
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(to_numpy(residual), other)


@pytest.mark.once
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 1, "padding": "valid"},
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": 3, "padding": "valid", "strides": 2},
        {"kernel_size": 3, "padding": "same", "dilation_rate": 2},
        {"kernel_size": (5, 2), "padding": "same"},
        {"kernel_size": 3, "padding": "same", "use_relu": True},
        {"kernel_size": 3, "strides": 2, "margin": 1},
    ],
)
def test_training_computes_the_same_map_and_gradients(settings):
    layer = FrozenNormConv2D(6, **settings)
    layer.build((None, None, None, 4))
    generator = np.random.default_rng(2)
    for variable in layer.norm.variables:
        variable.assign(generator.uniform(0.5, 2.0, variable.shape))
    weights = ops.convert_to_tensor(generator.normal(size=layer(images()).shape), "float32")
    kernel = to_numpy(layer.kernel[...])

    residual = generator.normal(size=weights.shape).astype("float32")

    def total(x, kernel, residual, training):
        with keras.StatelessScope([(layer.kernel, kernel)]):
            return ops.sum(layer(x, residual=residual, training=training) * weights)

    expected, result = (
        value_and_gradients(partial(total, training=training), images(), kernel, residual)
        for training in (False, True)
    )
    assert result[0] == pytest.approx(expected[0], rel=1e-5)
    for gradient, other in zip(result[1], expected[1], strict=True):
        assert np.abs(gradient).max() > 0.1
        np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=1e-5)


TRAIN_DILATED = """
import tensorflow as tf
from keras_detr.layers.primitives.frozen_norm_conv2d import FrozenNormConv2D

layer = FrozenNormConv2D(6, 3, padding="same", dilation_rate=2)
with tf.GradientTape() as tape:
    total = tf.reduce_sum(layer(tf.ones((2, 8, 8, 4)), training=True) ** 2)
assert tf.reduce_sum(tape.gradient(total, layer.kernel.value) ** 2) > 0
"""


@pytest.mark.once
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs tensorflow as the backend"
)
def test_dilated_kernels_train_where_onednn_is_missing():
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    subprocess.run([sys.executable, "-c", TRAIN_DILATED], env=environment, check=True, timeout=120)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_as_near_as_two_steps(dtype):
    layer = with_random_values(dtype=dtype)
    result = layer(ops.convert_to_tensor(images()))
    assert keras.backend.standardize_dtype(result.dtype) == dtype.removeprefix("mixed_")
    single = with_random_values()
    exact = in_two_steps(single, images())
    unit = 2.0**-8 if "bf" in dtype else 2.0**-11
    assert np.abs(to_numpy(result) - exact).max() <= 4 * unit * np.abs(exact).max()


def test_only_the_kernel_trains():
    layer = with_random_values()
    assert [variable.path for variable in layer.trainable_weights] == [layer.kernel.path]
    layer.trainable = False
    assert layer.trainable_weights == []
    assert len(layer.weights) == 5


def test_torch_holds_kernels_in_the_order_of_its_convolutions():
    layer = with_random_values()
    values = np.random.default_rng(2).normal(size=layer.kernel.shape).astype("float32")
    layer.kernel.assign(values)
    np.testing.assert_array_equal(to_numpy(layer.kernel[...]), values)
    if keras.backend.backend() == "torch":
        assert layer.kernel.value.permute(3, 0, 1, 2).is_contiguous()


@saves
def test_round_trips(tmp_path):
    layer = check_config(FrozenNormConv2D(**SETTINGS, norm_name="bn", use_relu=True, margin=1))
    assert (layer.norm.name, layer.filters) == ("bn", 6)
    assert (layer.use_relu, layer.margin) == (True, 1)
    check_saved(FrozenNormConv2D(**SETTINGS), lambda layer, x: layer(x), [(9, 7, 4)], tmp_path)
