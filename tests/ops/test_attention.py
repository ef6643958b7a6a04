"""Attention in parts against attention at once, and against NumPy."""

import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

from keras_detr.ops import attention, backends

pytestmark = pytest.mark.every_backend


def arrays(targets, sources, batch=2, heads=3, size=4):
    generator = np.random.default_rng(targets)
    shapes = [(batch, heads, targets, size), (batch, heads, size, sources)]
    shapes.append((batch, heads, sources, size))
    return [generator.normal(size=shape).astype("float32") for shape in shapes]


def biases(targets, sources, batch=2):
    generator = np.random.default_rng(0)
    shared = generator.uniform(size=(batch, 1, 1, sources)) < 0.5
    own = generator.uniform(size=(1, 1, targets, sources)) < 0.5
    return {"none": None, "shared": shared * np.float32(-1e9), "own": own * np.float32(-1e9)}


def expected(query, key, value, bias):
    scores = query @ key + (0.0 if bias is None else bias)
    return softmax(scores, axis=-1) @ value


@pytest.mark.parametrize("name", ["none", "shared", "own"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("sizes", [(5, 7), (50, 60), (91, 64)])
def test_parts_make_the_whole(name, sizes, batch, monkeypatch):
    # Of 91 targets the last block is smaller than the others.
    monkeypatch.setattr(attention, "FEWEST_WEIGHTS", 100)
    monkeypatch.setattr(attention, "MOST_WEIGHTS", 1000)
    monkeypatch.setattr(backends, "has_attention_kernel", lambda: False)
    monkeypatch.setattr(backends, "prefers_parts_in_cache", lambda: True)
    bias = biases(*sizes, batch)[name]
    tensors = [ops.convert_to_tensor(array) for array in arrays(*sizes, batch)]
    tensors.append(None if bias is None else ops.convert_to_tensor(bias))
    result = attention.attended(*tensors)
    whole, weights = attention.attend(*tensors)
    assert tuple(weights.shape) == (batch, 3, *sizes)
    for sums in (result, whole):
        np.testing.assert_allclose(
            ops.convert_to_numpy(sums),
            expected(*arrays(*sizes, batch), bias),
            rtol=1e-4,
            atol=1e-5,
        )


@pytest.mark.parametrize("name", ["none", "shared", "own"])
def test_sums_alone_are_those_with_weights(name):
    bias = biases(50, 60)[name]
    if bias is not None:
        # A target that may see nothing at all averages.
        bias[:, :, -1] = -1e9
    tensors = [ops.convert_to_tensor(array) for array in arrays(50, 60)]
    result = attention.attended(*tensors, None if bias is None else ops.convert_to_tensor(bias))
    np.testing.assert_allclose(
        ops.convert_to_numpy(result), expected(*arrays(50, 60), bias), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(("dtype", "distance"), [("float16", 4e-3), ("bfloat16", 4e-2)])
def test_half_precision_masks_as_float32_does(dtype, distance):
    bias = biases(50, 60)["shared"]
    bias[1] = -1e9
    tensors = [ops.cast(ops.convert_to_tensor(array), dtype) for array in arrays(50, 60)]
    result = ops.cast(attention.attended(*tensors, ops.convert_to_tensor(bias)), "float32")
    found = ops.convert_to_numpy(result)
    np.testing.assert_allclose(found[0], expected(*arrays(50, 60), bias)[0], atol=distance)
    # Where nothing may be seen: some average.
    assert np.abs(found[1]).max() <= np.abs(arrays(50, 60)[2][1]).max()


def test_parts_are_as_few_as_fit(monkeypatch):
    calls = []
    attend = attention.attend

    def counted(query, key, *others):
        calls.append((*query.shape[1:3], key.shape[3]))
        return attend(query, key, *others)

    monkeypatch.setattr(attention, "attend", counted)
    monkeypatch.setattr(attention, "MOST_WEIGHTS", 1000)
    monkeypatch.setattr(backends, "has_attention_kernel", lambda: False)
    monkeypatch.setattr(backends, "prefers_parts_in_cache", lambda: True)
    tensors = [ops.convert_to_tensor(array) for array in arrays(91, 64)]
    attention.attended(*tensors)
    assert calls == [(3, 91, 64)]
    calls.clear()
    monkeypatch.setattr(attention, "FEWEST_WEIGHTS", 100)
    attention.attended(*tensors)
    assert calls == 3 * [*5 * [(1, 16, 64)], (1, 11, 64)]
