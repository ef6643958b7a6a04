import numpy as np
import pytest
from keras import ops

from keras_detr.layers import RectifiedSum

from .layer_checks import check_config, saves, to_numpy

pytestmark = pytest.mark.every_backend


def test_adds_and_rectifies_without_a_change_of_its_inputs():
    generator = np.random.default_rng(0)
    maps = [generator.normal(size=(2, 3, 4, 5)).astype("float32") for _ in range(2)]
    tensors = [ops.convert_to_tensor(features.copy()) for features in maps]
    result = to_numpy(RectifiedSum()(tensors))
    np.testing.assert_array_equal(result, np.maximum(maps[0] + maps[1], 0))
    for tensor, features in zip(tensors, maps, strict=True):
        np.testing.assert_array_equal(to_numpy(tensor), features)


@saves
def test_round_trips():
    check_config(RectifiedSum(name="layer1_0_out"))
