"""Several steps between two looks of Python are the same steps."""

import keras
import numpy as np
import pytest

from tests.models.detectors import DETECTORS, patch_backbone, tiny_batch

NUM_STEPS = 4


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return NUM_STEPS

    def __getitem__(self, index):
        return tiny_batch(index, batch_size=2)


def train(steps_per_execution):
    """Return the weights before and after an epoch, and its loss."""
    keras.utils.set_random_seed(1)
    model = DETECTORS["detr"].build(dropout=0.0, backbone=patch_backbone())
    before = model.get_weights()
    model.compile(steps_per_execution=steps_per_execution)
    history = model.fit(Batches(workers=0), shuffle=False, verbose=0)
    return before, model.get_weights(), history.history["loss"]


@pytest.mark.slow
def test_training_is_the_same():
    start, expected, losses = train(1)
    other_start, weights, other_losses = train(2)
    assert any(np.abs(one - other).max() > 1e-4 for one, other in zip(start, weights, strict=True))
    # Two programs of the same operations round alike, or nearly so.
    np.testing.assert_allclose(other_losses, losses, rtol=1e-5)
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    for one, other in zip(other_start, start, strict=True):
        np.testing.assert_array_equal(one, other)
