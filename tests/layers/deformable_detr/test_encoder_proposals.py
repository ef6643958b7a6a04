"""Choosing the encoder's best tokens."""

import numpy as np
import pytest
from keras import ops

from keras_detr.layers.deformable_detr.encoder_proposals import best_tokens, take_tokens

pytestmark = pytest.mark.every_backend


def test_the_best_come_first():
    scores = np.random.default_rng(0).normal(size=(2, 7)).astype("float32")
    indices = best_tokens(ops.convert_to_tensor(scores), 3)
    expected = np.argsort(-scores, axis=1)[:, :3]
    np.testing.assert_array_equal(ops.convert_to_numpy(indices), expected)
    tokens = np.random.default_rng(1).normal(size=(2, 7, 4)).astype("float32")
    taken = ops.convert_to_numpy(take_tokens(ops.convert_to_tensor(tokens), indices))
    np.testing.assert_array_equal(taken, np.take_along_axis(tokens, expected[..., None], axis=1))


def test_tokens_come_again_where_there_are_too_few():
    scores = np.array([[0.5, -3.0, 2.0]], "float32")
    indices = ops.convert_to_numpy(best_tokens(ops.convert_to_tensor(scores), 8))[0]
    np.testing.assert_array_equal(indices[:3], [2, 0, 1])
    assert set(indices) == {0, 1, 2}
