"""The feed-forward network's own gradient, against that of its formula."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.ops.backends import current
from tests.ops.gradients import value_and_gradients

pytestmark = pytest.mark.every_backend


def arrays(rows=11, size=4, width=7):
    draw = np.random.default_rng(0).normal
    shapes = [(rows, size), (size, width), (width,), (width, size), (size,)]
    return [draw(size=shape).astype("float32") for shape in shapes]


def test_without_dropout_it_is_the_formula():
    weights = ops.convert_to_tensor(np.random.default_rng(1).normal(size=(11, 4)), "float32")

    def ours(x, k1, b1, k2, b2):
        return ops.sum(current().relu_feed_forward(x, (k1, k2), (b1, b2), 0.0, None) * weights)

    def formula(x, k1, b1, k2, b2):
        return ops.sum((ops.matmul(ops.relu(ops.matmul(x, k1) + b1), k2) + b2) * weights)

    value, gradients = value_and_gradients(ours, *arrays())
    expected_value, expected = value_and_gradients(formula, *arrays())
    assert value == pytest.approx(expected_value, rel=1e-5)
    for gradient, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=1e-5)


def test_gradients_pass_where_numbers_were_kept():
    """With the mask that another run shows, the gradient is that of the masked formula."""
    width = 7
    x, k1, b1, _, _ = arrays(width=width)
    narrow, none = np.eye(width, dtype="float32"), np.zeros(width, "float32")

    def ours(x, k1, b1):
        wide = current().relu_feed_forward(
            x,
            (k1, ops.convert_to_tensor(narrow)),
            (b1, ops.convert_to_tensor(none)),
            0.5,
            keras.random.SeedGenerator(4),
        )
        return ops.sum(ops.square(wide))

    _, gradients = value_and_gradients(ours, x, k1, b1)
    again = current().relu_feed_forward(
        ops.convert_to_tensor(x),
        [ops.convert_to_tensor(k) for k in (k1, narrow)],
        [ops.convert_to_tensor(b) for b in (b1, none)],
        0.5,
        keras.random.SeedGenerator(4),
    )
    before = np.maximum(x @ k1 + b1, 0)
    kept = ops.convert_to_numpy(again) != 0
    assert 0.2 < kept[before > 0].mean() < 0.8
    np.testing.assert_allclose(ops.convert_to_numpy(again), 2 * before * kept, rtol=1e-4, atol=1e-6)
    upstream = 2 * (2 * before * kept) * 2 * kept * (before > 0)
    for gradient, other in zip(
        gradients, (upstream @ k1.T, x.T @ upstream, upstream.sum(axis=0)), strict=True
    ):
        np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=1e-4)
