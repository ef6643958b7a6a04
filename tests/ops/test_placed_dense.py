"""A dense layer on tokens at their positions, against the sum and the product, with gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.ops.placed_dense import placed_dense
from tests.ops.gradients import value_and_gradients

pytestmark = pytest.mark.every_backend


def arrays(batch, batch_of_positions):
    shapes = [(batch, 5, 8), (batch_of_positions, 5, 8), (8, 3), (3,)]
    return [np.random.default_rng(0).normal(size=shape).astype("float32") for shape in shapes]


@pytest.mark.parametrize("batches", [(2, 2), (2, 1), (1, 1)])
def test_values_and_gradients_are_those_of_sum_and_product(batches):
    weights = ops.convert_to_tensor(np.random.default_rng(1).normal(size=(batches[0], 5, 3)))
    weights = ops.cast(weights, "float32")

    def plain(tokens, positions, kernel, bias):
        return ops.matmul(tokens + positions, kernel) + bias

    (value, gradients), (expected_value, expected) = (
        value_and_gradients(
            lambda *tensors, function=function: ops.sum(function(*tensors) * weights),
            *arrays(*batches),
        )
        for function in (placed_dense, plain)
    )
    assert value == pytest.approx(expected_value, rel=1e-5)
    for gradient, other in zip(gradients, expected, strict=True):
        assert gradient.shape == other.shape
        np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=1e-5)


def test_half_precision_is_multiplied_in_the_kernels():
    tokens, positions, kernel, bias = (ops.convert_to_tensor(a) for a in arrays(2, 1))
    tokens, positions = (ops.cast(array, "bfloat16") for array in (tokens, positions))
    result = placed_dense(tokens, positions, kernel, bias)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    expected = ops.matmul(ops.cast(tokens + positions, "float32"), kernel) + bias
    np.testing.assert_allclose(
        ops.convert_to_numpy(result), ops.convert_to_numpy(expected), rtol=1e-5, atol=1e-5
    )
