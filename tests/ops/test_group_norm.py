"""Group normalization, against its formula, with gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.ops.group_norm import group_norm
from tests.ops.gradients import compiled, value_and_gradients

pytestmark = pytest.mark.every_backend


def arrays(shape):
    draw = np.random.default_rng(0).normal
    scale, offset = draw(1, 0.5, shape[-1]), draw(0, 1, shape[-1])
    return [value.astype("float32") for value in (draw(3, 2, shape), scale, offset)]


def formula(x, scale, offset, groups):
    y = ops.reshape(x, (x.shape[0], -1, groups, x.shape[-1] // groups))
    centered = y - ops.mean(y, axis=(1, 3), keepdims=True)
    variance = ops.mean(ops.square(centered), axis=(1, 3), keepdims=True)
    return ops.reshape(centered / ops.sqrt(variance + 1e-5), x.shape) * scale + offset


@pytest.mark.parametrize(
    ("shape", "groups"), [((2, 3, 5, 8), 4), ((1, 4, 4, 6), 2), ((3, 7, 4), 1)]
)
def test_values_and_gradients_are_those_of_the_formula(shape, groups):
    weights = ops.convert_to_tensor(np.random.default_rng(1).normal(size=shape), "float32")
    (value, gradients), (expected_value, expected) = (
        value_and_gradients(
            lambda *tensors, normalize=normalize: ops.sum(normalize(*tensors) * weights),
            *arrays(shape),
        )
        for normalize in (
            lambda *tensors: group_norm(*tensors, groups, 1e-5),
            lambda *tensors: formula(*tensors, groups),
        )
    )
    assert value == pytest.approx(expected_value, rel=1e-4, abs=1e-4)
    for gradient, other in zip(gradients, expected, strict=True):
        assert gradient.shape == other.shape
        np.testing.assert_allclose(gradient, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_computed_in_single(dtype):
    x, scale, offset = (ops.convert_to_tensor(array) for array in arrays((2, 4, 6, 32)))
    half = ops.cast(x, dtype)
    result = group_norm(half, scale, offset, 8, 1e-5)
    assert keras.backend.standardize_dtype(result.dtype) == dtype
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.cast(result, "float32")),
        ops.convert_to_numpy(group_norm(ops.cast(half, "float32"), scale, offset, 8, 1e-5)),
        rtol=2.0**-7 if dtype == "bfloat16" else 2.0**-10,
        atol=1e-6,
    )


@pytest.mark.parametrize("jit_compile", [True, False])
def test_within_a_program(jit_compile):
    tensors = [ops.convert_to_tensor(array) for array in arrays((2, 3, 9, 8))]
    program = compiled(lambda *arrays: group_norm(*arrays, 2, 1e-5), jit_compile)
    np.testing.assert_allclose(
        ops.convert_to_numpy(program(*tensors)),
        ops.convert_to_numpy(group_norm(*tensors, 2, 1e-5)),
        atol=1e-6,
    )
