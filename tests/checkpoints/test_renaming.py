"""The rename tables against the names of the official model and of torchvision."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_detr.checkpoints import (
    DETR_TABLE,
    RESNET_TABLE,
    RenameTable,
    to_canonical_names,
    to_hub_names,
)

from .checkpoint_names import (
    RESNET18,
    RESNET50,
    RESNET101,
    assert_same,
    fuse,
    numbered,
    official_detr,
    official_mask_head,
    timm_spelling,
    torchvision_resnet,
)


@pytest.mark.parametrize("resnet", [RESNET50, RESNET101, RESNET18])
@pytest.mark.parametrize("counters", [False, True])
def test_torchvision_resnet_is_used_up(resnet, counters):
    names = torchvision_resnet(*resnet, counters=counters)
    renamed = to_canonical_names(numbered([*names, "fc.weight", "fc.bias"]), RESNET_TABLE)
    used = [name for name in names if not name.endswith("num_batches_tracked")]
    assert list(renamed.tensors) == used
    assert renamed.skipped.keys() == ({*names, "fc.weight", "fc.bias"} - set(used))
    assert renamed.skipped["fc.weight"].startswith("ImageNet classifier")


def test_resnet50_has_the_known_number_of_tensors():
    # 53 convolutions, each with a norm of four arrays.
    renamed = to_canonical_names(numbered(torchvision_resnet(*RESNET50)), RESNET_TABLE)
    assert len(renamed.tensors) == 53 * 5


@pytest.mark.parametrize(
    ("resnet", "source", "canonical"),
    [(RESNET50, 458, 530), (RESNET101, 713, 785), (RESNET18, 293, 365)],
)
def test_official_detr_is_used_up(resnet, source, canonical):
    names = official_detr(*resnet)
    assert len(names) == source
    tensors = numbered(names)
    renamed = to_canonical_names(tensors, DETR_TABLE)
    assert not renamed.skipped
    # Each of the 18 attentions turns 2 fused tensors into 6.
    assert len(renamed.tensors) == canonical == source + 18 * 4
    assert_same(fuse(renamed.tensors), tensors)


@pytest.mark.parametrize("wrapper", ["detr.", "module.", "module.detr."])
def test_wrappers_fall_away(wrapper):
    names = official_detr(*RESNET18, layers=1)
    plain = to_canonical_names(numbered(names), DETR_TABLE)
    wrapped = to_canonical_names(numbered([wrapper + name for name in names]), DETR_TABLE)
    assert_same(wrapped.tensors, plain.tensors)


def test_official_pre_norm_and_learned_positions():
    names = official_detr(*RESNET18, layers=1, pre_norm=True, learned=True)
    renamed = to_canonical_names(numbered(names), DETR_TABLE).tensors
    assert {"transformer.encoder.norm.weight", "backbone.1.row_embed.weight"} <= renamed.keys()
    assert not any("in_proj" in name or name.startswith("backbone.0") for name in renamed)


def test_canonical_names_stay():
    names = official_detr(*RESNET18, layers=2, pre_norm=True, learned=True)
    once = to_canonical_names(numbered(names), DETR_TABLE).tensors
    assert_same(to_canonical_names(once, DETR_TABLE).tensors, once)


def test_panoptic_heads_and_bookkeeping_are_skipped_with_reasons():
    body = [f"detr.{name}" for name in official_detr(*RESNET18, layers=1)]
    extra = [
        *official_mask_head(),
        "detr.backbone.0.body.bn1.num_batches_tracked",
        "detr.transformer.total_params",
        "total_ops",
        "detr.backbone.0.body.fc.weight",
    ]
    renamed = to_canonical_names(numbered(body + extra), DETR_TABLE)
    assert renamed.skipped.keys() == set(extra)
    assert renamed.skipped["mask_head.lay1.weight"].startswith("mask head of a panoptic model")
    assert renamed.skipped["total_ops"] == "written by a profiler, not a weight"
    assert len(renamed.tensors) == len(body) + 3 * 4


def test_unknown_names_stay_themselves():
    tensors = numbered(["model.backbone.conv_encoder.model.stages_0.weight", "detr.level_embed"])
    assert_same(to_canonical_names(tensors, DETR_TABLE).tensors, tensors)


def test_two_sources_of_one_name():
    tensors = {"class_embed.bias": np.ones(3), "detr.class_embed.bias": np.ones(3)}
    renamed = to_canonical_names(tensors, DETR_TABLE)
    assert list(renamed.tensors) == ["class_embed.bias"]
    tensors["detr.class_embed.bias"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"'class_embed.bias' and 'detr.class_embed.bias'"):
        to_canonical_names(tensors, DETR_TABLE)


@pytest.mark.parametrize("value", [np.zeros((4, 2)), np.zeros(())])
def test_a_fused_projection_that_does_not_split(value):
    name = "transformer.encoder.layers.0.self_attn.in_proj_weight"
    with pytest.raises(ValueError, match="multiple of 3"):
        to_canonical_names({name: value}, DETR_TABLE)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(alphabet="ab.0", min_size=1), unique=True))
def test_nothing_is_lost(names):
    table = RenameTable(wrappers="", renames=((r"a(.*)", r"\1x"),), skips=((r"b.*", "no use"),))
    tensors = {name: np.full(2, 1.0) for name in names}
    renamed = to_canonical_names(tensors, table)
    expected = {f"{n[1:]}x" if n[0] == "a" else n for n in names if n[0] != "b"}
    assert renamed.tensors.keys() == expected
    assert renamed.skipped.keys() == {name for name in names if name[0] == "b"}


# As transformers 5 writes it of one encoder and one decoder layer, without the backbone.
NAMES_IN_FILES = [
    "model.query_position_embeddings.weight",
    "model.input_projection.weight",
    "model.input_projection.bias",
    "model.encoder.layers.0.self_attn.k_proj.weight",
    "model.encoder.layers.0.self_attn.out_proj.bias",
    "model.encoder.layers.0.self_attn_layer_norm.weight",
    "model.encoder.layers.0.fc1.weight",
    "model.encoder.layers.0.final_layer_norm.bias",
    "model.decoder.layers.0.self_attn.q_proj.bias",
    "model.decoder.layers.0.self_attn_layer_norm.weight",
    "model.decoder.layers.0.fc2.bias",
    "model.decoder.layers.0.encoder_attn.v_proj.weight",
    "model.decoder.layers.0.encoder_attn.out_proj.weight",
    "model.decoder.layers.0.encoder_attn_layer_norm.bias",
    "model.decoder.layers.0.final_layer_norm.weight",
    "model.decoder.layernorm.weight",
    "class_labels_classifier.bias",
    "bbox_predictor.layers.2.weight",
    "model.position_embedding.column_embeddings.weight",
]


@pytest.mark.parametrize("resnet", [RESNET50, RESNET101, RESNET18])
def test_names_of_transformers_and_back(resnet):
    names = official_detr(*resnet, layers=2, learned=True)
    canonical = to_canonical_names(numbered(names), DETR_TABLE).tensors
    file = to_hub_names(canonical, DETR_TABLE)
    assert len(file) == len(canonical)
    assert set(NAMES_IN_FILES) <= file.keys()
    assert_same(to_canonical_names(file, DETR_TABLE).tensors, canonical)
    body = "model.backbone.conv_encoder.model."
    in_timm = [timm_spelling(name).removeprefix(body) for name in file if name.startswith(body)]
    assert all(
        name.startswith((f"{body}embedder.", f"{body}encoder.stages."))
        for name in file
        if name.startswith(body)
    )
    assert sorted(in_timm) == sorted(torchvision_resnet(*resnet))


def test_what_transformers_has_no_name_for():
    for name in ("transformer.encoder.norm.weight", "backbone.0", "label_enc.weight"):
        with pytest.raises(ValueError, match=f"no tensor for '{name}'"):
            to_hub_names(numbered([name]), DETR_TABLE)
