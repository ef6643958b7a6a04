"""The rename tables against files that transformers writes, and its names in memory."""

import numpy as np
import pytest

from keras_detr.checkpoints import DETR_TABLE, read_tensors, to_canonical_names

from .checkpoint_names import (
    RESNET18,
    RESNET50,
    assert_same,
    fuse,
    numbered,
    official_detr,
    timm_spelling,
)


def hugging_face_detr(layer_type, depths, hidden_sizes, embedding_size, **overrides):
    """Build a narrow random DETR of transformers."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    backbone = transformers.ResNetConfig(
        layer_type=layer_type,
        depths=depths,
        hidden_sizes=hidden_sizes,
        embedding_size=embedding_size,
        out_features=["stage4"],
    )
    sizes = {"d_model": 8, "num_queries": 3, "encoder_layers": 6, "decoder_layers": 6}
    sizes |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    sizes |= {"encoder_ffn_dim": 12, "decoder_ffn_dim": 12, "num_labels": 4}
    config = transformers.DetrConfig(
        backbone_config=backbone, use_timm_backbone=False, **(sizes | overrides)
    )
    model = transformers.DetrForObjectDetection(config)
    with torch.no_grad():
        # Norms start as ones and zeros: make every tensor recognisable.
        for tensor in model.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape))
    return model


def saved_and_in_memory(model, folder):
    """Give the tensors of the file that transformers writes, and those of the model in memory."""
    model.save_pretrained(folder)
    in_memory = {name: value.numpy() for name, value in model.state_dict().items()}
    return read_tensors(folder), in_memory


@pytest.mark.parametrize(
    ("resnet", "hidden_sizes", "embedding_size"),
    [(RESNET50, [8, 12, 16, 20], 4), (RESNET18, [4, 8, 12, 16], 4)],
)
def test_files_of_transformers_equal_the_official_model(
    tmp_path, resnet, hidden_sizes, embedding_size
):
    model = hugging_face_detr(*resnet[:2], hidden_sizes, embedding_size)
    saved, in_memory = saved_and_in_memory(model, tmp_path)
    assert saved.keys() != in_memory.keys()
    renamed = to_canonical_names(saved, DETR_TABLE)
    assert not renamed.skipped
    assert len(renamed.tensors) == len(saved)
    official = to_canonical_names(numbered(official_detr(*resnet)), DETR_TABLE).tensors
    assert renamed.tensors.keys() == official.keys()
    assert_same(to_canonical_names(in_memory, DETR_TABLE).tensors, renamed.tensors)
    assert_same(to_canonical_names(fuse(renamed.tensors), DETR_TABLE).tensors, renamed.tensors)

    timm = {timm_spelling(name): value for name, value in saved.items()}
    assert "model.backbone.conv_encoder.model.layer1.0.conv1.weight" in timm
    assert_same(to_canonical_names(timm, DETR_TABLE).tensors, renamed.tensors)
    timm_in_memory = {
        name.replace("backbone.conv_encoder.", "backbone."): value for name, value in timm.items()
    }
    assert_same(to_canonical_names(timm_in_memory, DETR_TABLE).tensors, renamed.tensors)


def test_each_tensor_lands_on_its_counterpart(tmp_path):
    model = hugging_face_detr("bottleneck", [1, 1, 1, 1], [8, 12, 16, 20], 4, encoder_layers=1)
    saved, _ = saved_and_in_memory(model, tmp_path)
    renamed = to_canonical_names(saved, DETR_TABLE).tensors
    backbone = "model.backbone.conv_encoder.model"
    stage = f"{backbone}.encoder.stages.2.layers.0"
    for canonical, source in {
        "backbone.conv1.weight": f"{backbone}.embedder.embedder.convolution.weight",
        "backbone.layer3.0.conv2.weight": f"{stage}.layer.1.convolution.weight",
        "backbone.layer3.0.bn3.running_var": f"{stage}.layer.2.normalization.running_var",
        "backbone.layer3.0.downsample.1.bias": f"{stage}.shortcut.normalization.bias",
        "input_proj.weight": "model.input_projection.weight",
        "transformer.encoder.layers.0.norm2.bias": "model.encoder.layers.0.final_layer_norm.bias",
        "transformer.decoder.layers.5.norm1.bias": (
            "model.decoder.layers.5.self_attn_layer_norm.bias"
        ),
        "transformer.decoder.layers.5.norm2.bias": (
            "model.decoder.layers.5.encoder_attn_layer_norm.bias"
        ),
        "transformer.decoder.layers.5.norm3.bias": "model.decoder.layers.5.final_layer_norm.bias",
        "transformer.decoder.layers.5.multihead_attn.k_proj.weight": (
            "model.decoder.layers.5.encoder_attn.k_proj.weight"
        ),
        "transformer.decoder.layers.0.linear2.weight": "model.decoder.layers.0.fc2.weight",
        "transformer.decoder.norm.weight": "model.decoder.layernorm.weight",
        "bbox_embed.layers.1.weight": "bbox_predictor.layers.1.weight",
    }.items():
        np.testing.assert_array_equal(renamed[canonical], saved[source], err_msg=canonical)


def test_learned_positions_and_panoptic_files_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    small = {"encoder_layers": 1, "decoder_layers": 1, "d_model": 16}
    small |= {"encoder_attention_heads": 8, "decoder_attention_heads": 8}
    model = hugging_face_detr(
        "basic", [1, 1, 1, 1], [4, 8, 12, 16], 4, position_embedding_type="learned", **small
    )
    saved, in_memory = saved_and_in_memory(model, tmp_path / "learned")
    renamed = to_canonical_names(saved, DETR_TABLE).tensors
    expected = official_detr("basic", [1, 1, 1, 1], False, layers=1, learned=True)
    assert renamed.keys() == to_canonical_names(numbered(expected), DETR_TABLE).tensors.keys()
    np.testing.assert_array_equal(
        renamed["backbone.1.col_embed.weight"],
        in_memory["model.position_embedding.column_embeddings.weight"],
    )
    assert_same(to_canonical_names(in_memory, DETR_TABLE).tensors, renamed)

    model.config.backbone_config.set_output_features_output_indices(None, [1, 2, 3, 4])
    panoptic = transformers.DetrForSegmentation(model.config)
    saved, in_memory = saved_and_in_memory(panoptic, tmp_path / "panoptic")
    for tensors in (saved, in_memory):
        panoptic_renamed = to_canonical_names(tensors, DETR_TABLE)
        assert panoptic_renamed.tensors.keys() == renamed.keys()
        assert len(panoptic_renamed.skipped) == len(tensors) - len(renamed)
        assert all("panoptic" in reason for reason in panoptic_renamed.skipped.values())
