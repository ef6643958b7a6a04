"""Settings from the config.json of a Deformable DETR, as transformers 4 and 5 write it."""

import json

import pytest

from keras_detr.checkpoints import COCO_CATEGORY_IDS, deformable_detr_settings

# What SenseTime/deformable-detr holds, as far as it matters here.
OFFICIAL = {
    "model_type": "deformable_detr",
    "backbone": "resnet50",
    "dilation": False,
    "num_queries": 300,
    "d_model": 256,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 1024,
    "decoder_ffn_dim": 1024,
    "encoder_n_points": 4,
    "decoder_n_points": 4,
    "num_feature_levels": 4,
    "dropout": 0.1,
    "activation_function": "relu",
    "position_embedding_type": "sine",
    "two_stage": False,
    "two_stage_num_proposals": 300,
    "with_box_refine": False,
    "id2label": {str(i): f"label {i}" if i in COCO_CATEGORY_IDS else "N/A" for i in range(91)},
}
TIMM = {"model_type": "timm_backbone", "backbone": "resnet50", "out_indices": [2, 3, 4]}
RESNET = {
    "model_type": "resnet",
    "depths": [3, 4, 6, 3],
    "hidden_sizes": [256, 512, 1024, 2048],
    "out_features": ["stage2", "stage3", "stage4"],
    "out_indices": [2, 3, 4],
}
SINGLE_SCALE = {"num_feature_levels": 1}
REFINE = {"with_box_refine": True}
# The settings that the five published models share.
SHARED = {
    "num_classes": 80,
    "class_names": tuple(f"label {i}" for i in COCO_CATEGORY_IDS),
    "class_rows": COCO_CATEGORY_IDS,
    "num_queries": 300,
    "hidden_dim": 256,
    "num_heads": 8,
    "num_encoder_layers": 6,
    "num_decoder_layers": 6,
    "feed_forward_dim": 1024,
    "dropout": 0.1,
    "activation": "relu",
    "position_embedding": "sine",
    "num_points": 4,
}
SPECIAL = ("num_levels", "use_box_refinement", "use_two_stage")


def with_backbone(base, **fields):
    return OFFICIAL | {"backbone": None, "backbone_config": base | fields}


@pytest.mark.parametrize(
    ("changes", "special"),
    [
        ({}, (False, 4, False, False)),
        (SINGLE_SCALE, (False, 1, False, False)),
        (SINGLE_SCALE | {"dilation": True}, (True, 1, False, False)),
        (REFINE, (False, 4, True, False)),
        (REFINE | {"two_stage": True}, (False, 4, True, True)),
    ],
)
def test_the_five_published_models(changes, special):
    is_dilated, *special = special
    backbone = {"depth": 50, "dilation": is_dilated, "name": "resnet50"}
    expected = SHARED | {"backbone": backbone} | dict(zip(SPECIAL, special, strict=True))
    assert deformable_detr_settings(OFFICIAL | changes) == expected


def test_defaults_of_transformers():
    settings = deformable_detr_settings({"model_type": "deformable_detr"})
    named = OFFICIAL | {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}
    assert settings == deformable_detr_settings(named)


def test_every_row_of_the_class_head_is_a_class():
    settings = deformable_detr_settings(OFFICIAL | {"id2label": {"0": "cat", "1": "dog"}})
    assert (settings["num_classes"], settings["class_rows"]) == (2, (0, 1))


@pytest.mark.parametrize(
    ("config", "num_levels", "dilation"),
    [
        (OFFICIAL | {"num_feature_levels": 3}, 3, False),
        (OFFICIAL | {"num_feature_levels": 5}, 5, False),
        (OFFICIAL | {"backbone_kwargs": {"out_indices": [2, 3, 4], "in_chans": 3}}, 4, False),
        (
            OFFICIAL
            | SINGLE_SCALE
            | {"backbone_kwargs": {"out_indices": [4], "output_stride": 16}},
            1,
            True,
        ),
        (with_backbone(TIMM), 4, False),
        (with_backbone(TIMM, out_indices=[-3, -2, -1]), 4, False),
        (with_backbone(TIMM, out_indices=None, out_features=["layer2", "layer3", "layer4"]), 4, 0),
        (with_backbone(TIMM, out_indices=[-1], output_stride=16) | SINGLE_SCALE, 1, True),
        (with_backbone(RESNET), 4, False),
        (with_backbone(RESNET, out_indices=None), 4, False),
        (with_backbone(RESNET, out_indices=None, out_features=None) | SINGLE_SCALE, 1, False),
        (OFFICIAL | SINGLE_SCALE | {"use_timm_backbone": False}, 1, False),
    ],
)
def test_feature_levels(config, num_levels, dilation):
    settings = deformable_detr_settings(config)
    assert settings["backbone"] == {"depth": 50, "dilation": bool(dilation), "name": "resnet50"}
    assert settings["num_levels"] == num_levels


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "model_type"),
        (OFFICIAL | {"model_type": "detr"}, "model_type"),
        (OFFICIAL | {"num_channels": 1}, "num_channels"),
        (OFFICIAL | {"position_embedding_type": "rotary"}, "position_embedding_type"),
        (OFFICIAL | {"activation_function": "mish"}, "activation_function"),
        (OFFICIAL | {"decoder_attention_heads": 4}, "encoder_attention_heads"),
        (OFFICIAL | {"decoder_ffn_dim": 2048}, "encoder_ffn_dim"),
        (OFFICIAL | {"backbone": "swin_tiny"}, "backbone"),
        (OFFICIAL | {"id2label": {"0": "N/A"}}, "id2label"),
        (OFFICIAL | {"num_feature_levels": 0}, "num_feature_levels"),
        (OFFICIAL | {"num_feature_levels": 2}, "num_feature_levels"),
        (OFFICIAL | {"num_feature_levels": True}, "num_feature_levels"),
        (OFFICIAL | {"encoder_n_points": "4"}, "encoder_n_points"),
        (OFFICIAL | {"decoder_n_points": 0}, "decoder_n_points"),
        (OFFICIAL | {"decoder_n_points": 3}, "encoder_n_points"),
        (OFFICIAL | {"two_stage_num_proposals": None}, "two_stage_num_proposals"),
        (OFFICIAL | {"with_box_refine": "yes"}, "with_box_refine"),
        (OFFICIAL | {"two_stage": None}, "two_stage"),
        (OFFICIAL | {"two_stage": True}, "two_stage"),
        (OFFICIAL | {"use_timm_backbone": False}, "backbone_kwargs.out_indices"),
        (OFFICIAL | {"backbone_kwargs": {"out_indices": [1, 2, 3, 4]}}, "backbone_kwargs.out_"),
        (OFFICIAL | SINGLE_SCALE | {"backbone_kwargs": {"out_indices": [2]}}, "backbone_kwargs."),
        (with_backbone(TIMM) | SINGLE_SCALE, "backbone_config.out_indices"),
        (with_backbone(RESNET, out_indices=[4]), "backbone_config.out_indices"),
        (
            with_backbone(RESNET, out_indices=None, out_features=["stem", "stage4"]),
            "backbone_config.out_features",
        ),
        (with_backbone(RESNET, out_indices=None, out_features=None), "backbone_config.out_indices"),
        (with_backbone(RESNET) | {"dilation": True}, "dilation"),
    ],
)
def test_what_is_refused_names_the_field(config, field):
    with pytest.raises(ValueError, match=rf"`{field}") as raised:
        deformable_detr_settings(config)
    assert "Received" in str(raised.value) or field == "dilation"


def saved_config(folder, config):
    config.save_pretrained(folder)
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        SINGLE_SCALE,
        SINGLE_SCALE | {"dilation": True},
        REFINE,
        REFINE | {"two_stage": True, "two_stage_num_proposals": 50},
    ],
)
def test_configs_that_transformers_writes(tmp_path, changes):
    transformers = pytest.importorskip("transformers")
    written = saved_config(tmp_path, transformers.DeformableDetrConfig(**changes))
    expected = deformable_detr_settings({"model_type": "deformable_detr"} | changes)
    assert deformable_detr_settings(written) == expected


def test_a_described_backbone_that_transformers_writes(tmp_path):
    transformers = pytest.importorskip("transformers")
    backbone = transformers.ResNetConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 24, 32],
        embedding_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )
    config = transformers.DeformableDetrConfig(
        backbone_config=backbone,
        use_timm_backbone=False,
        id2label={i: f"class {i}" for i in range(12)},
        d_model=32,
        encoder_n_points=2,
        decoder_n_points=2,
    )
    settings = deformable_detr_settings(saved_config(tmp_path, config))
    # A bottleneck puts out four times its width.
    assert settings["backbone"] == {
        "depth": 50,
        "stackwise_num_blocks": (1, 1, 1, 1),
        "stackwise_num_filters": (2, 4, 6, 8),
        "stem_num_filters": 4,
        "dilation": False,
        "name": "resnet",
    }
    assert settings["class_rows"] == tuple(range(12))
    assert (settings["hidden_dim"], settings["num_levels"], settings["num_points"]) == (32, 4, 2)


def test_proposals_are_the_queries_of_two_stages():
    changes = REFINE | {"num_queries": 30, "two_stage_num_proposals": 50}
    for is_two_stage, expected in ((False, 30), (True, 50)):
        config = OFFICIAL | changes | {"two_stage": is_two_stage}
        assert deformable_detr_settings(config)["num_queries"] == expected
