"""Sizes of images, as transformers writes them."""

import pytest

from keras_detr.checkpoints.hub_preprocessor import preprocessor_sizes


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
        {"size": 800, "max_size": None},
    ],
)
def test_other_sizes_are_refused(config):
    with pytest.raises(ValueError, match="'shortest_edge' and 'longest_edge'"):
        preprocessor_sizes(config)


def test_images_that_are_not_resized():
    with pytest.raises(ValueError, match=r"`do_resize` must be true\. Received: False"):
        preprocessor_sizes({"do_resize": False, "size": 800})
