"""The mask head and its attention against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

from keras_detr.layers import MaskAttention, MaskHead
from keras_detr.layers.detr.mask_head import resize_to_nearest
from tests.layers.layer_checks import (
    check_config,
    check_saved,
    randomize,
    saves,
    to_numpy,
    weights_of,
)

SIZE, HEADS, QUERIES = 32, 4, 3
# The maps of an image whose sides aren't multiples of 32, and their channels.
MAP, FINER = (3, 4), ((5, 8, 7), (10, 15, 6), (20, 29, 5))
SHAPES = [(*MAP, SIZE), (QUERIES, *MAP, HEADS), *FINER]


def built_attention(**settings):
    attention = MaskAttention(HEADS, **settings)
    attention.build((None, QUERIES, SIZE), (None, *MAP, SIZE))
    randomize(attention)
    return attention


def attention_inputs(seed=1):
    """Return queries, memory, and a mask of two images, of which one is padded."""
    rng = np.random.default_rng(seed)
    queries, memory = rng.normal(size=(2, QUERIES, SIZE)), rng.normal(size=(2, *MAP, SIZE))
    mask = np.ones((2, *MAP), bool)
    mask[1, 2:], mask[1, :, 3:] = False, False
    return queries.astype("float32"), memory.astype("float32"), mask


def built_head():
    head = MaskHead(SIZE)
    features, attention, *finer = SHAPES
    head.build((None, *features), (None, *attention), [(None, *shape) for shape in finer])
    randomize(head)
    return head


def head_inputs(seed=1):
    """Return features, attention and finer maps of two images."""
    rng = np.random.default_rng(seed)
    features, attention, *finer = [
        rng.normal(size=(2, *shape)).astype("float32") for shape in SHAPES
    ]
    return features, np.abs(attention), finer


def convolve(maps, kernel, bias):
    """Return what a convolution of odd size makes of (batch, height, width, channels)."""
    margin = len(kernel) // 2
    padded = np.pad(maps, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[:2], axis=(1, 2))
    return np.einsum("bhwcij,ijcd->bhwd", windows, kernel) + bias


def group_norm(maps, gamma, beta):
    channels = maps.shape[-1]
    groups = maps.reshape(*maps.shape[:3], np.gcd(8, channels), -1)
    mean = groups.mean((1, 2, 4), keepdims=True)
    variance = groups.var((1, 2, 4), keepdims=True)
    return ((groups - mean) / np.sqrt(variance + 1e-5)).reshape(maps.shape) * gamma + beta


def masks_by_hand(weights, features, attention, finer):
    """Return the original's masks, one query after the other."""

    def stage(k, maps):
        maps = convolve(maps, weights[f"lay{k}/kernel"], weights[f"lay{k}/bias"])
        return np.maximum(group_norm(maps, weights[f"gn{k}/gamma"], weights[f"gn{k}/beta"]), 0)

    masks = []
    for query in range(attention.shape[1]):
        maps = stage(2, stage(1, np.concatenate([features, attention[:, query]], -1)))
        for k, fine in enumerate(finer, 1):
            rows, columns = (
                np.arange(new) * old // new
                for old, new in zip(maps.shape[1:3], fine.shape[1:3], strict=True)
            )
            adapted = convolve(fine, weights[f"adapter{k}/kernel"], weights[f"adapter{k}/bias"])
            maps = stage(k + 2, maps[:, rows][:, :, columns] + adapted)
        masks.append(convolve(maps, weights["out_lay/kernel"], weights["out_lay/bias"])[..., 0])
    return np.stack(masks, 1)


@pytest.mark.every_backend
@pytest.mark.parametrize("is_masked", [False, True])
def test_all_heads_share_one_softmax(is_masked):
    attention = built_attention()
    queries, memory, mask = attention_inputs()
    result = to_numpy(attention(queries, memory, mask if is_masked else None))
    weights = weights_of(attention)
    asking = queries @ weights["query/kernel"] + weights["query/bias"]
    asked = memory @ weights["key/kernel"] + weights["key/bias"]
    head = SIZE // HEADS
    asking = asking.reshape(2, QUERIES, HEADS, head)
    asked = asked.reshape(2, *MAP, HEADS, head)
    scores = np.einsum("bqnd,byxnd->bqyxn", asking, asked) / np.sqrt(head)
    if is_masked:
        scores[np.broadcast_to(~mask[:, None, ..., None], scores.shape)] = -np.inf
    expected = softmax(scores.reshape(2, QUERIES, -1), axis=-1).reshape(scores.shape)
    np.testing.assert_allclose(result, expected, atol=2e-6)
    np.testing.assert_allclose(result.sum((2, 3, 4)), 1, rtol=1e-5)
    if is_masked:
        assert not result[1, :, 2:].any()


@pytest.mark.every_backend
def test_masks():
    head = built_head()
    features, attention, finer = head_inputs()
    masks = head(features, attention, finer)
    expected = masks_by_hand(weights_of(head), features, attention, finer)
    assert tuple(masks.shape) == head.compute_output_shape(
        features.shape, attention.shape, [fine.shape for fine in finer]
    )
    # Sums of up to 324 products of five layers in float32.
    np.testing.assert_allclose(to_numpy(masks), expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.every_backend
def test_a_query_has_its_mask_whatever_the_others_are():
    head = built_head()
    features, attention, finer = head_inputs()
    masks = to_numpy(head(features, attention, finer))
    alone = to_numpy(head(features, attention[:, 1:2], finer))
    np.testing.assert_allclose(alone, masks[:, 1:2], atol=1e-5 * np.abs(masks).max())


@pytest.mark.every_backend
def test_half_precision_gives_float32():
    policy = keras.DTypePolicy("mixed_bfloat16")
    head = MaskHead(SIZE, dtype=policy)
    masks = head(*head_inputs())
    weights = MaskAttention(HEADS, dtype=policy)(*attention_inputs())
    assert keras.backend.standardize_dtype(masks.dtype) == "float32"
    assert keras.backend.standardize_dtype(weights.dtype) == "float32"
    assert np.isfinite(to_numpy(masks)).all()


@pytest.mark.parametrize(("old", "new"), [((3, 4), (5, 8)), ((2, 2), (2, 2)), ((7, 5), (13, 10))])
def test_rows_and_columns_are_those_of_torch(old, new):
    torch = pytest.importorskip("torch")
    maps = np.random.default_rng(0).normal(size=(2, *old, 3)).astype("float32")
    expected = torch.nn.functional.interpolate(
        torch.tensor(maps.transpose(0, 3, 1, 2)), size=new, mode="nearest"
    )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(resize_to_nearest(maps, new)), expected.numpy().transpose(0, 2, 3, 1)
    )


@pytest.mark.every_backend
@saves
def test_round_trips(tmp_path):
    check_config(built_attention(dropout=0.25))
    check_config(MaskHead(SIZE, name="head"))
    check_saved(
        built_attention(),
        lambda layer, queries, memory: layer(queries, memory),
        [(QUERIES, SIZE), (*MAP, SIZE)],
        tmp_path,
    )
    check_saved(
        built_head(),
        lambda layer, features, attention, *finer: layer(features, attention, list(finer)),
        SHAPES,
        tmp_path,
    )


def test_sizes_that_cannot_be():
    with pytest.raises(ValueError, match=r"`hidden_dim` must be a multiple of 16.*Received: 24"):
        MaskHead(24)
    with pytest.raises(ValueError, match=r"`num_heads` must divide .* 32\. Received: 5"):
        MaskAttention(5).build((None, QUERIES, SIZE))
