"""Dropout: how often, by how much, and that gradients go where numbers went."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.ops.backends import current
from tests.ops.gradients import compiled, value_and_gradients


def dropped(shape, rate, seed=0, dtype="float32"):
    ones = ops.ones(shape, dtype)
    return ops.convert_to_numpy(
        ops.cast(current().dropout(ones, rate, keras.random.SeedGenerator(seed)), "float32")
    )


@pytest.mark.every_backend
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.875])
def test_as_many_as_asked_for_are_zero(rate):
    numbers = dropped((400, 501), rate)
    # Four standard deviations.
    tolerance = 4 * np.sqrt(rate * (1 - rate) / numbers.size)
    assert np.mean(numbers == 0) == pytest.approx(rate, abs=tolerance)
    np.testing.assert_allclose(numbers[numbers != 0], 1 / (1 - rate), rtol=1e-4)
    # Rows and columns are independent: none is dropped as a whole, none is spared.
    for axis in (0, 1):
        shares = np.mean(numbers == 0, axis=axis)
        deviation = np.sqrt(rate * (1 - rate) / numbers.shape[axis])
        assert np.abs(shares - rate).max() < 6 * deviation
        assert shares.std() == pytest.approx(deviation, rel=0.2)


@pytest.mark.every_backend
def test_neighbors_do_not_know_of_each_other():
    zeros = dropped((200_001,), 0.5).reshape(-1) == 0
    for lag in (1, 2, 3, 4, 8):
        together = np.mean(zeros[lag:] & zeros[:-lag])
        assert together == pytest.approx(0.25, abs=0.005)


@pytest.mark.every_backend
def test_gradients_go_where_numbers_went():
    numbers = np.random.default_rng(0).normal(size=(7, 9)).astype("float32")

    def total(x):
        result = current().dropout(x, 0.5, keras.random.SeedGenerator(3))
        return ops.sum(result * ops.convert_to_tensor(numbers))

    value, (gradient,) = value_and_gradients(total, numbers)
    factors = gradient / numbers
    assert value == pytest.approx(np.sum(factors * numbers**2), rel=1e-4)
    assert set(np.round(np.unique(factors), 3)) == {0.0, 2.0}
    np.testing.assert_allclose(factors, dropped((7, 9), 0.5, seed=3), rtol=1e-6)


@pytest.mark.every_backend
def test_every_call_draws_anew_and_a_seed_repeats_it():
    generator = keras.random.SeedGenerator(1)
    ones = ops.ones((50, 50))
    first, second = (
        ops.convert_to_numpy(current().dropout(ones, 0.5, generator)) for _ in range(2)
    )
    assert 0.4 < np.mean(first != second) < 0.6
    np.testing.assert_array_equal(first, dropped((50, 50), 0.5, seed=1))


@pytest.mark.every_backend
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype):
    numbers = dropped((100, 100), 0.5, dtype=dtype)
    assert set(np.unique(numbers)) == {0.0, 2.0}


@pytest.mark.every_backend
def test_rates_near_the_ends():
    assert np.mean(dropped((100, 100), 0.9999999) == 0) > 0.99
    assert np.isfinite(dropped((100, 100), 0.9999999)).all()
    np.testing.assert_allclose(dropped((100, 100), 1e-7), 1.0, rtol=1e-6)


@pytest.mark.every_backend
@pytest.mark.parametrize("jit_compile", [True, False])
def test_within_a_program(jit_compile):
    generator = keras.random.SeedGenerator(1)

    def thin(numbers):
        # The generator's state would leave the program.
        with keras.StatelessScope():
            return current().dropout(numbers, 0.5, generator)

    numbers = ops.convert_to_numpy(compiled(thin, jit_compile)(ops.ones((31, 3))))
    assert set(np.unique(numbers)) == {0.0, 2.0}
