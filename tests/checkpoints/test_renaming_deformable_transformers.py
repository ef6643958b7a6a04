"""Deformable DETR's table against files that transformers writes, and its names in memory."""

import numpy as np
import pytest

from keras_detr.checkpoints import (
    DEFORMABLE_DETR_TABLE,
    read_tensors,
    resolve_shared_heads,
    to_canonical_names,
)

from .checkpoint_names import (
    assert_same,
    numbered,
    official_deformable_detr,
    timm_spelling,
    with_head_copies,
)

LAYERS = 3
RESNET = ("bottleneck", [1, 1, 1, 1], True)
VARIANTS = {
    "plain": {},
    "single_scale": {"num_feature_levels": 1},
    "single_scale_dc5": {"num_feature_levels": 1, "dilation": True},
    "refine": {"with_box_refine": True},
    "two_stage": {"with_box_refine": True, "two_stage": True},
    "learned": {"position_embedding_type": "learned"},
}


def hugging_face_deformable_detr(**variant):
    """Build a narrow random Deformable DETR of transformers, its heads tied as in any new one."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    stages = (
        ["stage4"] if variant.get("num_feature_levels") == 1 else ["stage2", "stage3", "stage4"]
    )
    backbone = transformers.ResNetConfig(
        layer_type=RESNET[0],
        depths=RESNET[1],
        hidden_sizes=[8, 12, 16, 20],
        embedding_size=4,
        out_features=stages,
    )
    # 32 groups of the norms ask for 32 channels.
    sizes = {"d_model": 32, "num_queries": 3, "encoder_layers": LAYERS, "decoder_layers": LAYERS}
    sizes |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    sizes |= {"encoder_ffn_dim": 12, "decoder_ffn_dim": 12, "num_labels": 4}
    config = transformers.DeformableDetrConfig(
        backbone_config=backbone, use_timm_backbone=False, **sizes, **variant
    )
    model = transformers.DeformableDetrForObjectDetection(config)
    randomize(model)
    return model


def randomize(model):
    """Make every tensor recognisable: norms start as ones and zeros."""
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape))


def untie(model):
    """Give each layer heads of its own, known to the decoder too, as in the published files."""
    torch = pytest.importorskip("torch")
    for heads in (model.class_embed, model.bbox_embed):
        for module in heads.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                setattr(module, name, torch.nn.Parameter(parameter.detach().clone()))
    model.model.decoder.bbox_embed = model.bbox_embed
    if model.config.two_stage:
        model.model.decoder.class_embed = model.class_embed
    randomize(model)


def canonical(tensors, config):
    num_heads = 1
    if config.with_box_refine:
        num_heads = LAYERS + 1 if config.two_stage else LAYERS
    renamed = to_canonical_names(tensors, DEFORMABLE_DETR_TABLE)
    assert not renamed.skipped
    return resolve_shared_heads(renamed.tensors, num_heads)


def saved_and_in_memory(model, folder):
    """Give the tensors of the file that transformers writes, and those of the model in memory."""
    model.save_pretrained(folder)
    in_memory = {name: value.numpy() for name, value in model.state_dict().items()}
    return read_tensors(folder), in_memory


@pytest.mark.parametrize(
    ("variant", "is_tied"),
    [*((variant, True) for variant in VARIANTS), ("refine", False), ("two_stage", False)],
)
def test_files_of_transformers_equal_the_official_model(tmp_path, variant, is_tied):
    model = hugging_face_deformable_detr(**VARIANTS[variant])
    config = model.config
    if not is_tied:
        untie(model)
    saved, in_memory = saved_and_in_memory(model, tmp_path)
    assert len(saved) < len(in_memory)
    renamed = canonical(saved, config)
    official = official_deformable_detr(
        *RESNET,
        layers=LAYERS,
        levels=config.num_feature_levels,
        with_box_refine=config.with_box_refine,
        two_stage=config.two_stage,
        learned=variant == "learned",
    )
    official = canonical(with_head_copies(numbered(official), config.with_box_refine), config)
    assert renamed.keys() == official.keys()
    assert_same(canonical(in_memory, config), renamed)

    timm = {timm_spelling(name): value for name, value in saved.items()}
    assert "model.backbone.conv_encoder.model.layer1.0.conv1.weight" in timm
    assert_same(canonical(timm, config), renamed)
    if not is_tied:
        assert not np.array_equal(renamed["class_embed.0.bias"], renamed["class_embed.1.bias"])
        for name, value in in_memory.items():
            if name.startswith(("class_embed.", "bbox_embed.")):
                np.testing.assert_array_equal(renamed[name], value, err_msg=name)


def test_each_tensor_lands_on_its_counterpart(tmp_path):
    model = hugging_face_deformable_detr()
    saved, _ = saved_and_in_memory(model, tmp_path / "plain")
    renamed = canonical(saved, model.config)
    two_stage = hugging_face_deformable_detr(**VARIANTS["two_stage"])
    saved_two_stage, _ = saved_and_in_memory(two_stage, tmp_path / "two_stage")
    renamed_two_stage = canonical(saved_two_stage, two_stage.config)
    encoder, decoder = "transformer.encoder.layers.1", "transformer.decoder.layers.2"
    for name, source in {
        "input_proj.3.0.weight": "model.input_proj.3.0.weight",
        "query_embed.weight": "model.query_position_embeddings.weight",
        "transformer.level_embed": "model.level_embed",
        "transformer.reference_points.bias": "model.reference_points.bias",
        f"{encoder}.self_attn.sampling_offsets.bias": (
            "model.encoder.layers.1.self_attn.sampling_offsets.bias"
        ),
        f"{encoder}.linear1.weight": "model.encoder.layers.1.fc1.weight",
        f"{encoder}.norm1.weight": "model.encoder.layers.1.self_attn_layer_norm.weight",
        f"{encoder}.norm2.weight": "model.encoder.layers.1.final_layer_norm.weight",
        f"{decoder}.self_attn.v_proj.weight": "model.decoder.layers.2.self_attn.v_proj.weight",
        f"{decoder}.self_attn.out_proj.weight": "model.decoder.layers.2.self_attn.out_proj.weight",
        f"{decoder}.cross_attn.attention_weights.bias": (
            "model.decoder.layers.2.encoder_attn.attention_weights.bias"
        ),
        f"{decoder}.norm1.bias": "model.decoder.layers.2.encoder_attn_layer_norm.bias",
        f"{decoder}.norm2.bias": "model.decoder.layers.2.self_attn_layer_norm.bias",
        f"{decoder}.norm3.bias": "model.decoder.layers.2.final_layer_norm.bias",
        "class_embed.0.weight": "class_embed.0.weight",
        "bbox_embed.0.layers.2.bias": "bbox_embed.0.layers.2.bias",
    }.items():
        np.testing.assert_array_equal(renamed[name], saved[source], err_msg=name)
    for part in ("enc_output", "enc_output_norm", "pos_trans", "pos_trans_norm"):
        np.testing.assert_array_equal(
            renamed_two_stage[f"transformer.{part}.weight"],
            saved_two_stage[f"model.{part}.weight"],
        )
