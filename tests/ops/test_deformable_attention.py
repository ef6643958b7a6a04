"""Sampling against one point after the other in float64, gradients against differences of it."""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.ops.backends.portable import portable_programs
from keras_detr.ops.deformable_attention import multi_scale_deformable_attention
from tests.ops.gradients import compiled, value_and_gradients

pytestmark = pytest.mark.every_backend

SHAPES = ((5, 7), (3, 4), (1, 1))
BATCH, QUERIES, HEADS, POINTS, SIZE = 2, 6, 2, 3, 4


def draw(seed=0, shapes=SHAPES, low=-0.3, high=1.3):
    """Return values, locations (some of them outside) and weights, float64."""
    generator = np.random.default_rng(seed)
    num_tokens = sum(math.prod(shape) for shape in shapes)
    samples = (BATCH, QUERIES, HEADS, len(shapes), POINTS)
    values = generator.normal(size=(BATCH, num_tokens, HEADS, SIZE))
    return values, generator.uniform(low, high, (*samples, 2)), generator.uniform(0, 1, samples)


def sample(feature_map, x, y):
    """Interpolate (height, width, size) at pixels x and y; a pixel outside of it is zero."""
    height, width, size = feature_map.shape
    total = np.zeros(size)
    for row, column in itertools.product(
        (math.floor(y), math.floor(y) + 1), (math.floor(x), math.floor(x) + 1)
    ):
        if 0 <= row < height and 0 <= column < width:
            total += (1 - abs(y - row)) * (1 - abs(x - column)) * feature_map[row, column]
    return total


def attend(values, locations, weights, shapes=SHAPES):
    """Sum samples one by one."""
    total = np.zeros((*locations.shape[:3], values.shape[-1]))
    starts = np.cumsum([0] + [math.prod(shape) for shape in shapes])
    for image, query, head, level, point in np.ndindex(weights.shape):
        height, width = shapes[level]
        tokens = values[image, starts[level] : starts[level + 1], head]
        x, y = locations[image, query, head, level, point] * (width, height) - 0.5
        feature_map = tokens.reshape(height, width, -1)
        weight = weights[image, query, head, level, point]
        total[image, query, head] += weight * sample(feature_map, x, y)
    return total.reshape(*total.shape[:2], -1)


def call(values, locations, weights, shapes=SHAPES, dtype="float32"):
    tensors = [ops.convert_to_tensor(values, dtype)]
    tensors += [ops.convert_to_tensor(array, "float32") for array in (locations, weights)]
    return multi_scale_deformable_attention(tensors[0], shapes, *tensors[1:])


@pytest.mark.parametrize("seed", range(5))
def test_equals_sampling_one_by_one(seed):
    arrays = draw(seed)
    # float32 against float64, sums of 36 terms.
    np.testing.assert_allclose(ops.convert_to_numpy(call(*arrays)), attend(*arrays), atol=2e-6)


def test_portable_programs_compute_the_same():
    arrays = draw()
    with portable_programs():
        found = call(*arrays)
    np.testing.assert_allclose(ops.convert_to_numpy(found), attend(*arrays), atol=2e-6)


def test_pixel_centers_and_edges():
    values, locations, weights = draw()
    edges = [-1e-7, 0.0, 0.5 / 7, 0.5, 1.0 - 0.5 / 7, 1.0, 1.0 + 1e-7, 1.0 + 0.5 / 7, 2.0, -9.0]
    locations[...] = np.resize(edges, locations.shape)
    locations = locations.astype("float32").astype("float64")
    found = ops.convert_to_numpy(call(values, locations, weights))
    np.testing.assert_allclose(found, attend(values, locations, weights), atol=5e-6)


def test_far_outside_is_zero():
    values, locations, weights = draw()
    for place in (1e9, -1e9, np.inf, -np.inf):
        found = call(values, np.full_like(locations, place), weights)
        np.testing.assert_array_equal(ops.convert_to_numpy(found), 0.0)


def test_nan_stays_with_its_query():
    values, locations, weights = draw()
    clean = ops.convert_to_numpy(call(values, locations, weights))
    locations[0, 2, 1, 0, 0, 1] = np.nan
    found = ops.convert_to_numpy(call(values, locations, weights))
    is_spoiled = np.zeros(found.shape, bool)
    is_spoiled[0, 2, SIZE:] = True
    assert np.isnan(found[is_spoiled]).all()
    np.testing.assert_array_equal(found[~is_spoiled], clean[~is_spoiled])


def test_gradients_are_differences_of_the_oracle():
    # Away from the cells' edges, where the interpolation has a kink.
    values, locations, weights = draw(3)
    sizes = np.array([(width, height) for height, width in SHAPES])[:, None]
    cells = locations * sizes - 0.5
    share = np.clip(cells - np.floor(cells), 0.05, 0.95)
    locations = (np.floor(cells) + share + 0.5) / sizes
    upstream = np.random.default_rng(4).normal(size=(BATCH, QUERIES, HEADS * SIZE))

    def project(*tensors):
        result = multi_scale_deformable_attention(tensors[0], SHAPES, *tensors[1:])
        return ops.sum(result * ops.convert_to_tensor(upstream, "float32"))

    _, gradients = value_and_gradients(project, values, locations, weights)
    generator = np.random.default_rng(5)
    step = 1e-6
    for which, array in enumerate((values, locations, weights)):
        for flat in generator.choice(array.size, 40, replace=False):
            place = np.unravel_index(flat, array.shape)
            sides = []
            for sign in (1, -1):
                arrays = [values.copy(), locations.copy(), weights.copy()]
                arrays[which][place] += sign * step
                sides.append(np.sum(upstream * attend(*arrays)))
            expected = (sides[0] - sides[1]) / (2 * step)
            assert gradients[which][place] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_gradients_are_finite_at_edges_and_outside():
    values, locations, weights = draw()
    locations[...] = np.resize([0.0, 1.0, -0.5 / 7, 1 + 0.5 / 7, 1e9, -1e9, 0.5], locations.shape)

    def total(*tensors):
        return ops.sum(multi_scale_deformable_attention(tensors[0], SHAPES, *tensors[1:]) ** 2)

    _, gradients = value_and_gradients(total, values, locations, weights)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("jit_compile", [True, False])
def test_within_a_program(jit_compile):
    arrays = draw(1)
    program = compiled(
        lambda *tensors: multi_scale_deformable_attention(tensors[0], SHAPES, *tensors[1:]),
        jit_compile,
    )
    found = program(*(ops.convert_to_tensor(array, "float32") for array in arrays))
    np.testing.assert_allclose(ops.convert_to_numpy(found), attend(*arrays), atol=2e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_keeps_locations_exact(dtype):
    values, locations, weights = draw(2)
    values = ops.convert_to_numpy(ops.cast(ops.cast(values, dtype), "float32")).astype("float64")
    found = call(values, locations, weights, dtype=dtype)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    # Only the result is rounded.
    epsilon = {"bfloat16": 2**-8, "float16": 2**-11}[dtype]
    expected = attend(values, locations, weights)
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.cast(found, "float32")), expected, rtol=epsilon, atol=1e-5
    )


def test_one_map():
    arrays = draw(shapes=((4, 6),))
    found = ops.convert_to_numpy(call(*arrays, shapes=((4, 6),)))
    np.testing.assert_allclose(found, attend(*arrays, shapes=((4, 6),)), atol=2e-6)


def test_shapes_that_do_not_fit():
    values, locations, weights = draw()
    with pytest.raises(ValueError, match=r"add up to the 48 tokens .* makes 47"):
        call(values, locations, weights, shapes=((5, 7), (3, 4), (0, 1)))
    with pytest.raises(ValueError, match="as many levels as `spatial_shapes`"):
        call(values, locations, weights, shapes=((5, 7), (13, 1)))
    with pytest.raises(ValueError, match="`values` must be"):
        call(values[0], locations, weights)
