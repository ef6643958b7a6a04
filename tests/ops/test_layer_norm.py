"""Layer normalization, against Keras' own, with gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.ops.layer_norm import layer_norm
from tests.ops.gradients import compiled, value_and_gradients

pytestmark = pytest.mark.every_backend


def arrays(shape):
    draw = np.random.default_rng(0).normal
    scale, offset = draw(1, 0.5, shape[-1]), draw(0, 1, shape[-1])
    return [value.astype("float32") for value in (draw(3, 2, shape), scale, offset)]


@pytest.mark.parametrize("shape", [(2, 5, 8), (7, 8), (1, 1, 16)])
def test_values_and_gradients_are_those_of_the_formula(shape):
    weights = ops.convert_to_tensor(np.random.default_rng(1).normal(size=shape), "float32")

    def formula(x, scale, offset):
        centered = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centered), axis=-1, keepdims=True)
        return ops.sum((centered / ops.sqrt(variance + 1e-5) * scale + offset) * weights)

    value, gradients = value_and_gradients(
        lambda x, scale, offset: ops.sum(layer_norm(x, scale, offset, 1e-5) * weights),
        *arrays(shape),
    )
    expected_value, expected = value_and_gradients(formula, *arrays(shape))
    assert value == pytest.approx(expected_value, rel=1e-4, abs=1e-4)
    for gradient, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("dtype", "unit"), [("bfloat16", 2.0**-7), ("float16", 2.0**-10)])
def test_half_precision_is_rounded_once(dtype, unit):
    x, scale, offset = (ops.convert_to_tensor(array) for array in arrays((4, 6, 32)))
    half = ops.cast(x, dtype)
    result = layer_norm(half, scale, offset, 1e-5)
    assert keras.backend.standardize_dtype(result.dtype) == dtype
    # Numbers between two halves may be rounded to either: another program sums in another order.
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.cast(result, "float32")),
        ops.convert_to_numpy(layer_norm(ops.cast(half, "float32"), scale, offset, 1e-5)),
        rtol=unit,
        atol=1e-6,
    )


@pytest.mark.parametrize("jit_compile", [True, False])
def test_within_a_program(jit_compile):
    tensors = [ops.convert_to_tensor(array) for array in arrays((2, 9, 8))]
    program = compiled(lambda *arrays: layer_norm(*arrays, 1e-5), jit_compile)
    np.testing.assert_allclose(
        ops.convert_to_numpy(program(*tensors)),
        ops.convert_to_numpy(layer_norm(*tensors, 1e-5)),
        atol=1e-6,
    )
