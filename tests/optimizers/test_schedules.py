"""Learning rates at the steps that matter."""

import keras
import numpy as np
import pytest

from keras_detr.optimizers import step_decay, warmup_cosine

pytestmark = pytest.mark.every_backend


def rates_at(schedule, steps):
    return [float(keras.ops.convert_to_numpy(schedule(step))) for step in steps]


def test_warmup_cosine_rises_and_falls():
    rates = rates_at(warmup_cosine(0.2, num_steps=100), [0, 5, 10, 55, 100, 200])
    np.testing.assert_allclose(rates, [0, 0.1, 0.2, 0.1, 0, 0], atol=1e-7)


def test_warmup_of_given_length():
    rates = rates_at(warmup_cosine(1.0, num_steps=100, warmup_steps=50), [25, 50, 75, 100])
    np.testing.assert_allclose(rates, [0.5, 1, 0.5, 0], atol=1e-6)


@pytest.mark.parametrize("warmup_steps", [None, 0])
def test_few_steps_have_no_warmup(warmup_steps):
    rates = rates_at(warmup_cosine(1.0, num_steps=4, warmup_steps=warmup_steps), [0, 2, 4])
    np.testing.assert_allclose(rates, [1, 0.5, 0], atol=1e-6)


def test_step_decay_is_that_of_the_papers():
    rates = rates_at(step_decay(2e-4, num_steps=40), [0, 40, 41, 1000])
    np.testing.assert_allclose(rates, [2e-4, 2e-4, 2e-5, 2e-5], rtol=1e-6)


def test_other_factors():
    np.testing.assert_allclose(rates_at(step_decay(1.0, 1, factor=0.5), [1, 2]), [1, 0.5])


@pytest.mark.parametrize(
    ("function", "settings", "message"),
    [
        (warmup_cosine, {"num_steps": 0}, "`num_steps` must be at least 1"),
        (warmup_cosine, {"num_steps": 10, "warmup_steps": 11}, "`warmup_steps` must be between"),
        (warmup_cosine, {"num_steps": 10, "warmup_steps": -1}, "`warmup_steps` must be between"),
        (step_decay, {"num_steps": 0}, "`num_steps` must be at least 1"),
    ],
)
def test_impossible_numbers(function, settings, message):
    with pytest.raises(ValueError, match=message):
        function(1.0, **settings)
