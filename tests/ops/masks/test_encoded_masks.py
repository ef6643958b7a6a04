"""Encoded masks beside pycocotools, and back."""

import json

import numpy as np
import pytest
from hypothesis import given, strategies
from hypothesis.extra.numpy import arrays
from pycocotools import mask as pycocotools_masks

from keras_detr.inference import decode_masks, encode_masks

SHAPES = strategies.tuples(*(strategies.integers(low, 9) for low in (0, 1, 1)))


@given(arrays(bool, SHAPES))
def test_equals_pycocotools_and_comes_back(masks):
    encoded = encode_masks(masks)
    for mask, code in zip(masks, encoded, strict=True):
        expected = pycocotools_masks.encode(np.asfortranarray(mask, np.uint8))
        assert code == {"size": list(mask.shape), "counts": expected["counts"].decode()}
    decoded = decode_masks(json.loads(json.dumps(encoded)), image_size=masks.shape[1:])
    assert decoded.dtype == bool
    assert np.array_equal(decoded, masks)


def test_masks_may_come_one_by_one_and_as_numbers():
    masks = np.arange(24).reshape(2, 3, 4) % 2
    assert encode_masks(mask for mask in masks) == encode_masks(masks == 1)


def test_bytes_are_decoded():
    code = {"size": [2, 3], "counts": b"132"}
    expected = [[[False, True, False], [True, True, False]]]
    assert decode_masks([code], image_size=(2, 3)).tolist() == expected


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.zeros((3, 4), bool), r"\(objects, height, width\).*\(4,\) of the mask at position 0"),
        (np.zeros((1, 0, 4), bool), r"\(0, 4\)"),
        (np.full((1, 3, 4), 0.5), "bool, or 0 and 1. Received float64"),
    ],
)
def test_errors_of_masks(masks, message):
    with pytest.raises(ValueError, match=message):
        encode_masks(masks)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ({"size": [3, 2], "counts": "132"}, r"`image_size`, \(2, 3\).*\(3, 2\), at position 1"),
        ({"size": [2, 3], "counts": "13"}, "counts that cover .* position 1: .*4 pixels"),
        ({"size": [2, 3], "counts": "13x"}, "position 1: RLE"),
        ({"size": [2, 3], "counts": [1, 3, 2]}, "compressed counts, a str.* position 1: list"),
        ({"size": [2, 3]}, "dicts of 'size' and 'counts'.*position 1"),
        ([1, 3, 2], "dicts of 'size' and 'counts'.*position 1"),
    ],
)
def test_errors_of_codes(code, message):
    with pytest.raises(ValueError, match=message):
        decode_masks([{"size": [2, 3], "counts": "132"}, code], image_size=(2, 3))


def test_decoding_needs_a_size():
    with pytest.raises(ValueError, match="`image_size` must be"):
        decode_masks([], image_size=3)
