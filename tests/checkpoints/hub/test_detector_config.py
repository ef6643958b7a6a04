"""The config.json of a detector, written and read again."""

import numpy as np
import pytest

from keras_detr.checkpoints import (
    deformable_detr_config,
    deformable_detr_settings,
    detr_config,
    detr_settings,
)
from keras_detr.checkpoints.hub.detector_config import preprocessor_config
from keras_detr.checkpoints.hub.preprocessor import preprocessor_normalization, preprocessor_sizes

SETTINGS = {
    "backbone": {
        "depth": 50,
        "stackwise_num_blocks": None,
        "stackwise_num_filters": (64, 128, 256, 512),
        "stem_num_filters": 64,
    },
    "num_classes": 2,
    "class_names": ("cat", "chien ça"),
    "num_queries": 7,
    "hidden_dim": 64,
    "num_heads": 4,
    "num_encoder_layers": 3,
    "num_decoder_layers": 2,
    "feed_forward_dim": 48,
    "dropout": 0.2,
    "activation": "gelu",
    "position_embedding": "learned",
}
DEFORMABLE = {"num_levels": 4, "num_points": 3, "use_box_refinement": True, "use_two_stage": False}
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def assert_read_again(read, settings):
    assert read.pop("class_rows") == tuple(range(settings["num_classes"]))
    assert read.pop("backbone")["dilation"] is False
    assert read == {name: value for name, value in settings.items() if name != "backbone"}


@pytest.mark.parametrize("changes", [{}, {"class_names": None}, {"activation": "relu"}])
def test_detr(changes):
    settings = SETTINGS | changes
    config = detr_config(settings)
    assert config["backbone_config"]["out_features"] == ["stage4"]
    assert_read_again(detr_settings(config), settings)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_levels": 1, "use_box_refinement": False},
        {"num_levels": 3, "use_two_stage": True},
    ],
)
def test_deformable_detr(changes):
    settings = SETTINGS | DEFORMABLE | changes
    assert_read_again(deformable_detr_settings(deformable_detr_config(settings)), settings)


@pytest.mark.parametrize(
    ("depth", "blocks", "filters", "name"),
    [
        (18, None, (64, 128, 256, 512), "resnet18"),
        (34, None, (64, 128, 256, 512), "resnet34"),
        (101, None, (64, 128, 256, 512), "resnet101"),
        (50, (3, 4, 23, 3), (64, 128, 256, 512), "resnet101"),
        (18, (1, 2, 1, 1), (8, 16, 16, 32), "resnet"),
        (101, (1, 2, 1, 1), (8, 16, 16, 32), "resnet"),
    ],
)
def test_backbones(depth, blocks, filters, name):
    backbone = {
        "depth": depth,
        "stackwise_num_blocks": blocks,
        "stackwise_num_filters": filters,
        "stem_num_filters": 64,
    }
    read = detr_settings(detr_config(SETTINGS | {"backbone": backbone}))["backbone"]
    assert read["name"] == name
    if name == "resnet":
        assert read["stackwise_num_blocks"] == blocks
        assert read["stackwise_num_filters"] == filters
        assert read["depth"] == {18: 18, 101: 50}[depth]


def test_labels_go_both_ways():
    config = detr_config(SETTINGS)
    assert config["id2label"] == {"0": "cat", "1": "chien ça"}
    assert config["label2id"] == {"cat": 0, "chien ça": 1}
    assert detr_config(SETTINGS | {"class_names": None})["id2label"]["1"] == "LABEL_1"


@pytest.mark.parametrize("sizes", [(480, 640), (800, None)])
def test_preprocessor(sizes):
    config = preprocessor_config("detr", sizes, *IMAGENET)
    assert preprocessor_sizes(config) == (sizes[0], sizes[1] or 2**16)
    assert preprocessor_normalization(config) == IMAGENET
    np.testing.assert_allclose(config["image_mean"], (0.485, 0.456, 0.406), rtol=1e-12)
    assert config["image_processor_type"] == "DetrImageProcessor"
