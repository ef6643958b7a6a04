import keras
import numpy as np
import pytest

from keras_detr.layers.primitives.padded_max_pooling2d import PaddedMaxPooling2D
from tests.layers.layer_checks import check_config, check_saved, saves, to_numpy

pytestmark = pytest.mark.every_backend


def pooled(x, size, stride):
    margin = size // 2
    x = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
    return windows[:, ::stride, ::stride].max((-2, -1))


@pytest.mark.parametrize("sides", [(8, 8), (7, 9), (1, 2)])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (5, 3), (3, 1)])
def test_takes_the_largest_of_each_window(sides, size, stride):
    x = np.random.default_rng(0).uniform(0, 1, (2, *sides, 3)).astype("float32")
    layer = PaddedMaxPooling2D(size, strides=stride)
    result = to_numpy(layer(x))
    np.testing.assert_array_equal(result, pooled(x, size, stride))
    assert layer.compute_output_shape(x.shape) == result.shape
    assert layer.compute_output_shape((None, None, None, 3)) == (None, None, None, 3)


@saves
def test_round_trips(tmp_path):
    layer = check_config(PaddedMaxPooling2D(3, strides=2, name="maxpool"))
    assert layer.get_config() == PaddedMaxPooling2D.from_config(layer.get_config()).get_config()
    check_saved(PaddedMaxPooling2D(3, strides=2), lambda layer, x: layer(x), [(9, 7, 4)], tmp_path)


def test_is_a_layer_of_keras():
    assert isinstance(PaddedMaxPooling2D(3), keras.layers.MaxPooling2D)
