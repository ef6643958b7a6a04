"""The masks of confident queries: which are computed, and how many at a time."""

import numpy as np
import pytest
from keras import ops

from keras_detr.layers.detr.confident_masks import masks_of_confident

pytestmark = pytest.mark.every_backend

BATCH, QUERIES, SIZE = 2, 23, (3, 5)
NOWHERE = -100.0


def states_and_confidence():
    """Return states whose masks can be told apart, and confidence in no order."""
    generator = np.random.default_rng(0)
    states = generator.uniform(1, 2, (BATCH, QUERIES, 1)).astype("float32")
    return states, generator.uniform(0.1, 0.9, (BATCH, QUERIES)).astype("float32")


def constant_masks(states):
    """Return a mask for each state, of its own value everywhere."""
    return ops.tile(ops.expand_dims(states, -1), (1, 1, *SIZE))


def computed(confidence, threshold):
    """Return the masks, and for each query whether it has one."""
    states, _ = states_and_confidence()
    masks = masks_of_confident(constant_masks, states, SIZE, confidence, threshold)
    masks = ops.convert_to_numpy(masks)
    assert masks.shape == (BATCH, QUERIES, *SIZE)
    has_mask = masks[..., 0, 0] != NOWHERE
    expected = np.where(has_mask[..., None, None], states[..., None], NOWHERE)
    np.testing.assert_array_equal(masks, np.broadcast_to(expected, masks.shape))
    return has_mask


def test_all_without_a_threshold():
    assert computed(states_and_confidence()[1], None).all()


@pytest.mark.parametrize("threshold", [0.5, np.array([0.5, 0.8], "float32")])
def test_down_to_a_threshold(threshold):
    confidence = states_and_confidence()[1]
    is_confident = confidence >= np.reshape(threshold, (-1, 1))
    has_mask = computed(confidence, threshold)
    assert has_mask[is_confident].all()
    # Ten at a time, as many in each image as in that which needs most.
    num_parts = -(-is_confident.sum(axis=1).max() // 10)
    assert 0 < num_parts < 3
    np.testing.assert_array_equal(has_mask.sum(axis=1), min(10 * num_parts, QUERIES))
    # The most confident ones.
    for row, confident in zip(has_mask, confidence, strict=True):
        assert confident[row].min() > confident[~row].max()


def test_none_is_confident_enough():
    assert not computed(states_and_confidence()[1], 0.95).any()
