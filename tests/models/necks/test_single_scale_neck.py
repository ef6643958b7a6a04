"""The neck alone: which map it reads, in which order, and how the mask shrinks."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_detr.layers import LearnedPositionEmbedding
from keras_detr.models import SingleScaleNeck

pytestmark = pytest.mark.every_backend


def small_neck():
    return SingleScaleNeck(8, name="neck")


def features(height, width, channels=5):
    generator = np.random.default_rng(0)
    return generator.normal(0, 1, (2, height, width, channels)).astype("float32")


# JAX compiles anew for every size.
NUM_SIZES = 10 if keras.backend.backend() == "jax" else 100


@settings(max_examples=NUM_SIZES)
@given(st.integers(1, 1400), st.integers(1, 1400), st.integers(2, 44), st.integers(1, 44))
def test_the_mask_takes_the_pixels_that_torch_takes(height, width, rows, columns):
    torch = pytest.importorskip("torch")
    rows, columns = min(rows, height), min(columns, width)
    generator = np.random.default_rng(height)
    # One row and one column of random pixels tell which are taken.
    mask = np.zeros((2, height, width), "uint8")
    mask[:, 0, :] = generator.integers(0, 2, (2, width))
    mask[:, :, 0] = generator.integers(0, 2, (2, height))
    expected = torch.nn.functional.interpolate(
        torch.tensor(mask[:, None].astype("float32")), size=(rows, columns)
    )
    neck = NECK
    actual = neck({"P5": np.zeros((2, rows, columns, 5), "float32")}, mask)["mask"]
    np.testing.assert_array_equal(ops.convert_to_numpy(actual), expected.bool().flatten(1).numpy())


NECK = small_neck()


def test_tokens_are_the_projected_cells_row_by_row():
    neck = small_neck()
    coarse = features(2, 3)
    outputs = neck({"P3": features(8, 12), "P5": coarse, "P4": features(4, 6)})
    kernel = ops.convert_to_numpy(neck.input_projection.kernel)[0, 0]
    bias = ops.convert_to_numpy(neck.input_projection.bias)
    np.testing.assert_allclose(
        ops.convert_to_numpy(outputs["tokens"]),
        coarse.reshape(2, 6, 5) @ kernel + bias,
        rtol=1e-4,
        atol=1e-5,
    )
    assert outputs["mask"] is None
    assert tuple(outputs["positions"].shape) == (1, 6, 8)


def test_the_coarsest_level_is_the_highest_number():
    neck = small_neck()
    outputs = neck({"P9": features(4, 6), "P10": features(2, 3)})
    assert tuple(outputs["tokens"].shape) == (2, 6, 8)


def test_positions_stop_at_the_mask():
    neck = small_neck()
    mask = np.zeros((2, 64, 96), "uint8")
    mask[0, :32, :64], mask[1] = 1, 1
    outputs = neck({"P5": features(2, 3)}, mask)
    assert ops.convert_to_numpy(outputs["mask"]).tolist() == [
        [True, True, False, False, False, False],
        [True] * 6,
    ]
    positions = ops.convert_to_numpy(outputs["positions"])
    # The last valid cell of each image has gone all the way round: the same code.
    np.testing.assert_allclose(positions[0, 1], positions[1, 5], atol=1e-4)
    assert np.abs(positions[0, 0] - positions[1, 0]).max() > 0.1


def test_shapes_without_values():
    neck = small_neck()
    shape = neck.compute_output_shape({"P5": (None, 2, 3, 5)}, (None, 64, 96))
    assert shape == {
        "tokens": (None, 6, 8),
        "positions": (None, 6, 8),
        "mask": (None, 6),
    }
    free = neck.compute_output_shape({"P5": (None, None, None, 5)})
    assert free == {"tokens": (None, None, 8), "positions": (1, None, 8)}


def test_the_config_survives_a_round_trip():
    neck = SingleScaleNeck(8, LearnedPositionEmbedding(8, 20, name="table"), name="neck")
    rebuilt = SingleScaleNeck.from_config(neck.get_config())
    assert rebuilt.get_config() == neck.get_config()
    assert rebuilt.position_embedding.num_positions == 20
