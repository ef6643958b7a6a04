"""Random numbers of mapped functions, which depend on an element's place and not on threads."""

# ruff: noqa: E402

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from keras_detr.preprocessing.random_draws import RandomDraws, map_with_seeds

NUMBER = 4000


class Draw:
    """Draw two fractions and a whole number for each element, as a layer with branches would."""

    def __init__(self):
        self.draws, self.others = RandomDraws(seed=1), RandomDraws(seed=1)

    def __call__(self, element):
        fractions = tf.stack([self.draws.uniform(), self.others.uniform()])
        whole = tf.cond(
            fractions[0] < 0.5,
            lambda: self.draws.whole_number(1, 3),
            lambda: self.others.whole_number(4, 9),
        )
        return {**element, "fractions": fractions, "whole": whole}


def drawn(seed, number=NUMBER):
    """Return two passes over the same elements."""
    elements = tf.data.Dataset.range(number).map(lambda place: {"place": place})
    mapped = map_with_seeds(Draw(), elements, seed)
    passes = [next(iter(mapped.batch(number))) for _ in range(2)]
    return [{name: value.numpy() for name, value in found.items()} for found in passes]


@pytest.fixture(scope="module")
def passes():
    return drawn(seed=5)


def test_each_place_has_draws_of_its_own(passes):
    again = drawn(seed=5)
    for found, other in zip(passes, again, strict=True):
        np.testing.assert_array_equal(found["place"], np.arange(NUMBER))
        for name in found:
            np.testing.assert_array_equal(found[name], other[name])
    # The places of a shorter data set are the same.
    for name, value in drawn(seed=5, number=7)[0].items():
        np.testing.assert_array_equal(value, passes[0][name][:7])


def test_passes_and_seeds_draw_anew(passes):
    first, second = (found["fractions"] for found in passes)
    other = drawn(seed=6)[0]["fractions"]
    assert np.mean(first == second) < 0.01
    assert np.mean(first == other) < 0.01


def test_they_are_uniform_and_independent(passes):
    fractions, whole = passes[0]["fractions"], passes[0]["whole"]
    assert 0 <= fractions.min() < fractions.max() < 1
    for column in fractions.T:
        # Of uniform draws, a tenth has a standard deviation of 0.005 here.
        np.testing.assert_allclose(np.histogram(column, 10, (0, 1))[0] / NUMBER, 0.1, atol=0.025)
    neighbours = np.stack([*fractions.T, np.roll(fractions[:, 0], 1)])
    correlations = np.corrcoef(neighbours)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(NUMBER)
    is_low = fractions[:, 0] < 0.5
    assert set(whole[is_low].tolist()) == {1, 2, 3}
    assert set(whole[~is_low].tolist()) == set(range(4, 10))


def test_a_failure_leaves_draws_as_they_were():
    def fail(element):
        raise KeyError("boxes")

    elements = tf.data.Dataset.from_tensors({"place": 0})
    with pytest.raises(KeyError, match="boxes"):
        map_with_seeds(fail, elements)
    draws = RandomDraws(seed=0)
    assert draws.uniform() != draws.uniform()
