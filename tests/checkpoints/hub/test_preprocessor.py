"""Sizes and colors of images, as transformers writes them."""

import numpy as np
import pytest

from keras_detr.checkpoints.hub.preprocessor import preprocessor_normalization, preprocessor_sizes


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        ({"size": {"shortest_edge": 800, "longest_edge": 1333}}, (800, 1333)),
        ({"size": {"longest_edge": 640, "shortest_edge": 480}, "do_resize": True}, (480, 640)),
        ({"size": 600, "max_size": 1000}, (600, 1000)),
        ({"size": 800}, (800, 1333)),
        ({"size": None}, (800, 1333)),
        ({}, (800, 1333)),
    ],
)
def test_sizes(config, sizes):
    assert preprocessor_sizes(config) == sizes


@pytest.mark.parametrize(
    "config",
    [
        {"size": {"height": 640, "width": 640}},
        {"size": {"shortest_edge": 800}},
        {"size": {"shortest_edge": 800, "longest_edge": None}},
        {"size": {"shortest_edge": 800, "longest_edge": 400}},
        {"size": {"shortest_edge": "800", "longest_edge": 1333}},
        {"size": {"shortest_edge": 0, "longest_edge": 1333}},
        {"size": {"max_height": 800, "max_width": 1333}},
        {"size": [800, 1333]},
        {"size": 800.5, "max_size": 1333},
        {"size": True},
        {"size": {"shortest_edge": 10**9, "longest_edge": 10**9}},
        {"size": 800, "max_size": None},
    ],
)
def test_other_sizes_are_refused(config):
    with pytest.raises(ValueError, match="'shortest_edge' and 'longest_edge'"):
        preprocessor_sizes(config)


def test_images_that_are_not_resized():
    with pytest.raises(ValueError, match=r"`do_resize` must be true\. Received: False"):
        preprocessor_sizes({"do_resize": False, "size": 800})


IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, IMAGENET),
        ({"image_mean": None, "image_std": None, "rescale_factor": None}, IMAGENET),
        ({"image_mean": [0.5, 0.25, 0], "image_std": 0.5}, ((127.5, 63.75, 0), (127.5,) * 3)),
        ({"do_normalize": False, "image_mean": [0.5] * 3}, ((0,) * 3, (255,) * 3)),
        (
            {"rescale_factor": 1.0, "image_mean": [99] * 3, "image_std": [2] * 3},
            ((99,) * 3, (2,) * 3),
        ),
    ],
)
def test_normalization(config, expected):
    mean, deviation = preprocessor_normalization(config)
    np.testing.assert_allclose((mean, deviation), expected, rtol=0, atol=1e-6)
    if expected is IMAGENET:
        assert (mean, deviation) == IMAGENET


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"do_rescale": False}, r"`do_rescale`.*0\.\.255\. Received: False"),
        ({"image_mean": [0.5, 0.5]}, r"`image_mean`.*3 numbers\. Received: \[0\.5, 0\.5\]"),
        ({"image_mean": "0.5"}, "`image_mean`.*3 numbers"),
        (
            {"image_std": [0.5, 0, 0.5]},
            r"`image_std`.*must be at least 1e-05.*Received: \(0\.5, 0\.0",
        ),
        ({"image_std": [0.5, float("nan"), 0.5]}, "`image_std`.*3 numbers"),
        ({"image_mean": 10**400}, "`image_mean`.*3 numbers"),
        ({"rescale_factor": "1/255"}, "`rescale_factor`.*a number"),
        ({"image_std": [1e-9] * 3}, "`image_std`.*must be at least"),
        ({"rescale_factor": 0}, "`rescale_factor`.*must be at least"),
    ],
)
def test_normalization_that_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        preprocessor_normalization(config)
