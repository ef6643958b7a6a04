import keras
import numpy as np
import pytest

from keras_detr.layers import LearnedPositionEmbedding
from tests.layers.layer_checks import check_config, check_saved, saves, to_numpy

pytestmark = pytest.mark.every_backend


def test_column_then_row():
    layer = LearnedPositionEmbedding(6, num_positions=9)
    features = np.zeros((2, 3, 5, 1), "float32")
    codes = to_numpy(layer(features))
    rows, columns = to_numpy(layer.row_embeddings[...]), to_numpy(layer.column_embeddings[...])
    assert codes.shape == (1, 3, 5, 6)
    for y in range(3):
        for x in range(5):
            np.testing.assert_array_equal(codes[0, y, x], [*columns[x], *rows[y]])
    np.testing.assert_array_equal(to_numpy(layer(features, np.ones((2, 3, 5), bool))), codes)
    assert len(layer.trainable_weights) == 2


def test_tables_start_uniform_in_0_and_1():
    layer = LearnedPositionEmbedding(256)
    layer.build((None, None, None, 1))
    for table in layer.weights:
        values = to_numpy(table[...])
        assert values.shape == (50, 128)
        assert values.min() >= 0
        assert values.max() < 1
        assert values.mean() == pytest.approx(0.5, abs=0.02)
    assert not np.array_equal(*(to_numpy(table[...]) for table in layer.weights))


@pytest.mark.parametrize(("size", "axis"), [((5, 4), "height of 5"), ((4, 6), "width of 6")])
def test_a_map_larger_than_the_tables_is_shown(size, axis):
    layer = LearnedPositionEmbedding(8, num_positions=4)
    assert tuple(layer(np.zeros((1, 4, 4, 1), "float32")).shape) == (1, 4, 4, 8)
    with pytest.raises(ValueError, match=rf"{axis} cells.*holds 4 positions.*SinePosition"):
        layer(np.zeros((1, *size, 1), "float32"))


def test_an_odd_size_is_shown():
    with pytest.raises(ValueError, match=r"`hidden_dim` must be even. Received: 7"):
        LearnedPositionEmbedding(7)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_dtype(dtype):
    codes = LearnedPositionEmbedding(8, dtype=dtype)(np.zeros((1, 4, 4, 1), "float32"))
    assert keras.backend.standardize_dtype(codes.dtype) == dtype.removeprefix("mixed_")


@saves
def test_round_trips(tmp_path):
    copy = check_config(LearnedPositionEmbedding(12, num_positions=7))
    assert (copy.hidden_dim, copy.num_positions) == (12, 7)
    layer = LearnedPositionEmbedding(8, num_positions=7)
    check_saved(layer, lambda layer, x: layer(x) + x, [(4, 5, 8)], tmp_path)
