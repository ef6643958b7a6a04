"""The dropout layer: it rests outside of training, and is saved."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.layers.primitives.dropout import Dropout
from tests.layers.layer_checks import check_config, to_numpy


@pytest.mark.every_backend
def test_only_in_training():
    layer = Dropout(0.5)
    ones = ops.ones((20, 20))
    np.testing.assert_array_equal(to_numpy(layer(ones)), 1)
    np.testing.assert_array_equal(to_numpy(layer(ones, training=False)), 1)
    assert set(np.unique(to_numpy(layer(ones, training=True)))) == {0.0, 2.0}
    np.testing.assert_array_equal(to_numpy(Dropout(0.0)(ones, training=True)), 1)


def test_configuration():
    copy = check_config(Dropout(0.25, seed=3, name="thin"))
    assert (copy.rate, copy.seed, copy.name) == (0.25, 3, "thin")


@pytest.mark.parametrize("rate", [1.0, -0.1, 2])
def test_rates_that_leave_nothing(rate):
    with pytest.raises(ValueError, match="rate"):
        Dropout(rate)


def test_its_state_is_that_of_keras_layer():
    names = [
        [variable.path.split("/", 1)[1] for variable in layer.variables]
        for layer in (Dropout(0.5), keras.layers.Dropout(0.5))
    ]
    assert names[0] == names[1]
