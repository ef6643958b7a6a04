"""Strided convolutions of narrow maps, in whose gradients oneDNN damages memory."""

import numpy as np
import pytest
from keras import ops

from keras_detr.ops.backends import current
from tests.ops.gradients import value_and_gradients

pytestmark = pytest.mark.every_backend


def test_the_gradient_of_a_large_map():
    """Without the guard, torch ends with SIGSEGV."""
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(2, 200, 200, 4)).astype("float32")
    kernel = generator.normal(size=(1, 1, 4, 32)).astype("float32")

    def total(inputs, kernel):
        outputs = current().convolution(inputs, kernel, ops.zeros(32), strides=(2, 2))
        return ops.sum(ops.square(outputs)) / 2

    read = inputs[:, ::2, ::2]
    outputs = read @ kernel[0, 0]
    for _ in range(6):
        value, (_, to_kernel) = value_and_gradients(total, inputs, kernel)
        np.testing.assert_allclose(value, (outputs.astype("float64") ** 2).sum() / 2, rtol=1e-5)
        expected = np.einsum("nyxc,nyxf->cf", read, outputs, optimize=True)
        np.testing.assert_allclose(to_kernel[0, 0], expected, rtol=1e-3, atol=0.1)
