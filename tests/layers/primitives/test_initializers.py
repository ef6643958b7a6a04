"""Starting values drawn on the host, against the distributions that they claim."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_detr.layers.primitives.initializers import (
    HostNormal,
    HostUniform,
    kaiming_normal_fan_out,
    torch_linear_initializers,
    xavier_uniform,
)

pytestmark = pytest.mark.every_backend

SHAPE = (100, 80)
INITIALIZERS = {
    "uniform": (lambda **kwargs: HostUniform(-0.5, 2.0, **kwargs), stats.uniform(-0.5, 2.5)),
    "normal": (lambda **kwargs: HostNormal(0.3, 0.7, **kwargs), stats.norm(0.3, 0.7)),
}


def values_of(initializer, shape=SHAPE, **kwargs):
    return ops.convert_to_numpy(initializer(shape, **kwargs))


@pytest.mark.parametrize("name", INITIALIZERS)
class TestBoth:
    def test_the_distribution(self, name):
        build, distribution = INITIALIZERS[name]
        values = values_of(build(seed=3))
        assert stats.kstest(values.ravel(), distribution.cdf).pvalue > 0.01

    def test_seeds(self, name):
        build, _ = INITIALIZERS[name]
        first = values_of(build(seed=1))
        np.testing.assert_array_equal(first, values_of(build(seed=1)))
        assert (first != values_of(build(seed=2))).all()
        keras.utils.set_random_seed(7)
        first, second = values_of(build()), values_of(build())
        assert (first != second).all()
        keras.utils.set_random_seed(7)
        np.testing.assert_array_equal(first, values_of(build()))

    def test_a_seed_generator_moves_on(self, name):
        build, _ = INITIALIZERS[name]
        initializer = build(seed=keras.random.SeedGenerator(5))
        first = values_of(initializer)
        assert (first != values_of(initializer)).any()
        again = build(seed=keras.random.SeedGenerator(5))
        np.testing.assert_array_equal(first, values_of(again))

    @pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
    def test_dtypes(self, name, dtype):
        build, _ = INITIALIZERS[name]
        assert keras.backend.standardize_dtype(build()(SHAPE, dtype=dtype).dtype) == dtype

    def test_the_config_survives_a_round_trip(self, name):
        initializer = INITIALIZERS[name][0](seed=4)
        config = keras.saving.serialize_keras_object(initializer)
        again = keras.saving.deserialize_keras_object(config)
        assert type(again) is type(initializer)
        np.testing.assert_array_equal(values_of(initializer), values_of(again))


def test_limits_and_deviations():
    for initializer in torch_linear_initializers(25):
        values = values_of(initializer)
        assert 0.19 < np.abs(values).max() <= 0.2
    values = values_of(xavier_uniform(30, 24))
    assert 0.32 < np.abs(values).max() <= 1 / 3
    values = values_of(kaiming_normal_fan_out(3, 64), (3, 3, 32, 64))
    assert values.std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.03)
