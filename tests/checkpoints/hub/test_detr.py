"""Settings from a Hub's config.json, as transformers 4 and 5 write it."""

import json

import pytest

from keras_detr.checkpoints import COCO_CATEGORY_IDS, detr_settings

UNUSED = {0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
# What facebook/detr-resnet-50 holds, as far as it matters here.
OFFICIAL = {
    "model_type": "detr",
    "backbone": "resnet50",
    "backbone_config": None,
    "use_timm_backbone": True,
    "dilation": False,
    "num_channels": 3,
    "num_queries": 100,
    "d_model": 256,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "decoder_ffn_dim": 2048,
    "dropout": 0.1,
    "activation_function": "relu",
    "position_embedding_type": "sine",
    "auxiliary_loss": False,
    # JSON sorts keys as text: "10" before "2".
    "id2label": {
        str(i): "N/A" if i in UNUSED else f"label {i}" for i in sorted(range(91), key=str)
    },
}
TIMM = {"model_type": "timm_backbone", "backbone": "resnet101", "out_indices": [1, 2, 3, 4]}
RESNET = {
    "model_type": "resnet",
    "layer_type": "bottleneck",
    "depths": [3, 4, 6, 3],
    "hidden_sizes": [256, 512, 1024, 2048],
    "embedding_size": 64,
    "out_features": ["stage4"],
    "out_indices": [4],
}


def with_backbone(**fields):
    base = TIMM if fields.get("model_type") == "timm_backbone" else RESNET
    return OFFICIAL | {"backbone": None, "backbone_config": base | fields}


def test_coco_category_ids():
    assert len(COCO_CATEGORY_IDS) == 80
    assert tuple(sorted(set(range(91)) - UNUSED)) == COCO_CATEGORY_IDS


def test_the_official_config():
    settings = detr_settings(OFFICIAL)
    assert settings["class_rows"] == COCO_CATEGORY_IDS
    assert settings["class_names"] == tuple(f"label {i}" for i in COCO_CATEGORY_IDS)
    del settings["class_rows"], settings["class_names"]
    assert settings == {
        "backbone": {"depth": 50, "dilation": False, "name": "resnet50"},
        "num_classes": 80,
        "num_queries": 100,
        "hidden_dim": 256,
        "num_heads": 8,
        "num_encoder_layers": 6,
        "num_decoder_layers": 6,
        "feed_forward_dim": 2048,
        "dropout": 0.1,
        "activation": "relu",
        "position_embedding": "sine",
    }


def test_defaults_of_transformers():
    settings = detr_settings({"model_type": "detr"})
    expected = detr_settings(OFFICIAL | {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}})
    assert settings == expected
    assert (settings["num_classes"], settings["class_names"]) == (2, None)


def test_names_and_rows_without_objects():
    labels = {"0": "N/A", "1": "LABEL_1", "2": "N/A", "3": "dog"}
    settings = detr_settings(OFFICIAL | {"id2label": labels})
    assert settings["class_rows"] == (1, 3)
    # One real name shows that somebody named them.
    assert settings["class_names"] == ("LABEL_1", "dog")
    labels["3"] = "LABEL_3"
    assert detr_settings(OFFICIAL | {"id2label": labels})["class_names"] is None


def test_a_gap_in_the_ids_is_refused_with_advice():
    labels = {"1": "cat", "2": "dog"}
    with pytest.raises(ValueError, match=r'ids: \[1, 2\].*name those that are missing "N/A"'):
        detr_settings(OFFICIAL | {"id2label": labels})
    assert detr_settings(OFFICIAL | {"id2label": {"0": "N/A", **labels}})["num_classes"] == 2


@pytest.mark.parametrize(
    ("config", "backbone", "dilation"),
    [
        (OFFICIAL | {"backbone": "resnet101", "dilation": True}, "resnet101", True),
        (OFFICIAL | {"backbone": "resnet18.a1_in1k"}, "resnet18", False),
        (OFFICIAL | {"backbone_kwargs": {"output_stride": 16}}, "resnet50", True),
        (
            OFFICIAL | {"backbone": "microsoft/resnet-34", "use_timm_backbone": False},
            "resnet34",
            False,
        ),
        (with_backbone(model_type="timm_backbone"), "resnet101", False),
        (with_backbone(model_type="timm_backbone", output_stride=16), "resnet101", True),
        (
            with_backbone(model_type="timm_backbone", output_stride=16) | {"dilation": True},
            "resnet101",
            True,
        ),
        (with_backbone(model_type="timm_backbone", out_indices=[-1]), "resnet101", False),
        (with_backbone(), "resnet50", False),
        (with_backbone(depths=[3, 4, 23, 3]), "resnet101", False),
        (
            with_backbone(
                layer_type="basic", depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512]
            ),
            "resnet18",
            False,
        ),
        (with_backbone(depths=[3, 8, 36, 3]), None, False),
        (with_backbone(embedding_size=32), None, False),
    ],
)
def test_backbones(config, backbone, dilation):
    settings = detr_settings(config)
    assert settings["backbone"]["name"] == (backbone or "resnet")
    assert settings["backbone"]["dilation"] == dilation


def test_a_backbone_without_a_name_is_described():
    settings = detr_settings(
        with_backbone(
            layer_type="basic", depths=[1, 1, 2, 1], hidden_sizes=[8, 8, 16, 16], embedding_size=4
        )
    )
    assert settings["backbone"] == {
        "depth": 18,
        "stackwise_num_blocks": (1, 1, 2, 1),
        "stackwise_num_filters": (8, 8, 16, 16),
        "stem_num_filters": 4,
        "dilation": False,
        "name": "resnet",
    }


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "model_type"),
        (OFFICIAL | {"model_type": "deformable_detr"}, "model_type"),
        (OFFICIAL | {"num_channels": 1}, "num_channels"),
        (OFFICIAL | {"position_embedding_type": "rotary"}, "position_embedding_type"),
        (OFFICIAL | {"activation_function": "mish"}, "activation_function"),
        (OFFICIAL | {"encoder_attention_heads": 4}, "encoder_attention_heads"),
        (OFFICIAL | {"decoder_ffn_dim": 1024}, "decoder_ffn_dim"),
        (OFFICIAL | {"num_queries": 0}, "num_queries"),
        (OFFICIAL | {"d_model": "256"}, "d_model"),
        (OFFICIAL | {"id2label": {"1": "cat", "2": "dog"}}, "id2label"),
        (OFFICIAL | {"id2label": {"cat": "0"}}, "id2label"),
        (OFFICIAL | {"id2label": ["cat"]}, "id2label"),
        (OFFICIAL | {"id2label": {"0": "N/A"}}, "id2label"),
        (OFFICIAL | {"backbone": "resnet50d"}, "backbone"),
        (OFFICIAL | {"backbone": "swin_tiny"}, "backbone"),
        (OFFICIAL | {"backbone_kwargs": {"output_stride": 8}}, "backbone_kwargs.output_stride"),
        (OFFICIAL | {"backbone_kwargs": {"out_indices": [1, 2]}}, "backbone_kwargs.out_indices"),
        (OFFICIAL | {"dilation": True, "use_timm_backbone": False}, "dilation"),
        (with_backbone() | {"dilation": True}, "dilation"),
        (with_backbone(model_type="timm_backbone", backbone="vit"), "backbone_config.backbone"),
        (with_backbone(model_type="swin"), "backbone_config.model_type"),
        (with_backbone(num_channels=4), "backbone_config.num_channels"),
        (with_backbone(downsample_in_bottleneck=True), "backbone_config.downsample_in_bottleneck"),
        (
            with_backbone(downsample_in_first_stage=True),
            "backbone_config.downsample_in_first_stage",
        ),
        (with_backbone(hidden_act="gelu"), "backbone_config.hidden_act"),
        (with_backbone(layer_type="plain"), "backbone_config.layer_type"),
        (with_backbone(depths=[1, 1, 1]), "backbone_config.depths"),
        (with_backbone(depths=3), "backbone_config.depths"),
        (with_backbone(hidden_sizes=[8, 8, 8, "8"]), "backbone_config.hidden_sizes"),
        (with_backbone(out_features=4, out_indices=None), "backbone_config.out_features"),
        (with_backbone(out_indices=["4"]), "backbone_config.out_indices"),
        (OFFICIAL | {"backbone_config": ["resnet50"]}, "backbone_config"),
        (OFFICIAL | {"backbone_kwargs": True}, "backbone_kwargs"),
        (OFFICIAL | {"encoder_layers": 10**6}, "encoder_layers"),
        (OFFICIAL | {"d_model": 10**9}, "d_model"),
        (OFFICIAL | {"num_queries": 10**8}, "num_queries"),
        (OFFICIAL | {"id2label": None, "num_labels": 10**8}, "num_labels"),
        (with_backbone(depths=[0, 1, 1, 1]), "backbone_config.depths"),
        (with_backbone(depths=[10**5, 1, 1, 1]), "backbone_config.depths"),
        (with_backbone(hidden_sizes=[8, 8, 8, 10**9]), "backbone_config.hidden_sizes"),
        (with_backbone(hidden_sizes=[8, 8, 8, -8]), "backbone_config.hidden_sizes"),
        (
            with_backbone(layer_type="bottleneck", hidden_sizes=[8, 8, 8, 10]),
            "backbone_config.hidden_sizes",
        ),
        (with_backbone(embedding_size=10**9), "backbone_config.embedding_size"),
        (OFFICIAL | {"dropout": None}, "dropout"),
        (OFFICIAL | {"dropout": 10**400}, "dropout"),
        (OFFICIAL | {"dropout": float("nan")}, "dropout"),
        (with_backbone(out_features=["stage3"], out_indices=[3]), "backbone_config.out_"),
    ],
)
def test_what_is_refused_names_the_field(config, field):
    with pytest.raises(ValueError, match=rf"`{field}") as raised:
        detr_settings(config)
    assert "Received" in str(raised.value) or "dilation" in field


def saved_config(folder, config):
    config.save_pretrained(folder)
    return json.loads((folder / "config.json").read_text())


def test_configs_that_transformers_writes(tmp_path):
    transformers = pytest.importorskip("transformers")
    default = saved_config(tmp_path, transformers.DetrConfig())
    assert detr_settings(default) == detr_settings({"model_type": "detr"})

    dilated = saved_config(tmp_path, transformers.DetrConfig(backbone="resnet101", dilation=True))
    settings = detr_settings(dilated)
    assert settings["backbone"] == {"depth": 101, "dilation": True, "name": "resnet101"}

    labels = {i: f"class {i}" for i in range(12)}
    backbone = transformers.ResNetConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 24, 32], embedding_size=4
    )
    own = transformers.DetrConfig(
        backbone_config=backbone,
        use_timm_backbone=False,
        id2label=labels,
        d_model=32,
        num_queries=7,
        position_embedding_type="learned",
    )
    settings = detr_settings(saved_config(tmp_path, own))
    assert settings["class_names"] == tuple(labels.values())
    assert settings["class_rows"] == tuple(range(12))
    # A bottleneck puts out four times its width.
    assert settings["backbone"]["stackwise_num_filters"] == (2, 4, 6, 8)
    assert (settings["hidden_dim"], settings["num_queries"]) == (32, 7)
    assert settings["position_embedding"] == "learned"

    panoptic = own.to_dict() | {"architectures": ["DetrForSegmentation"]}
    assert detr_settings(panoptic) == settings
