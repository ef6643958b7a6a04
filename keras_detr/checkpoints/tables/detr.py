"""Names of DETR's tensors.

Canonical are the official names, with `backbone.0.body.` shortened to `backbone.` and each fused
`in_proj` split into `q_proj`, `k_proj` and `v_proj` (`to_canonical_names` does the split). Besides
them the table reads what transformers writes to files and what it calls the same tensors in
memory, for object detection and panoptic models, with timm's backbone or its own.

Source: facebookresearch/detr models/detr.py, transformer.py, backbone.py, segmentation.py;
transformers models/detr/modeling_detr.py and conversion_mapping.py.
"""

from .rename_table import RenameTable
from .resnet import BOOKKEEPING_SKIPS, CLASSIFIER_SKIPS, RESNET_RENAMES

_BACKBONE = r"backbone\.(?:(?:0\.body|conv_encoder\.model|model)\.)?(?:_backbone\.)?"
_BOTH = r"(weight|bias)"
_ENCODER = r"(?:transformer\.)?encoder\.layers\.(\d+)"
_DECODER = r"(?:transformer\.)?decoder\.layers\.(\d+)"


def _attention_rows(source, target):
    """Give the rows of one attention: fused or separate projections, and the output's.

    Args:
        source: str, regular expression of the attention's name, with one group: the layer.
        target: str, its canonical name.
    """
    return (
        (rf"{source}\.in_proj_{_BOTH}", rf"{target}.in_proj_\2"),
        (rf"{source}\.([qkv])_proj\.{_BOTH}", rf"{target}.\2_proj.\3"),
        (rf"{source}\.(?:out|o)_proj\.{_BOTH}", rf"{target}.out_proj.\2"),
    )


_ENCODER_RENAMES = (
    *_attention_rows(rf"{_ENCODER}\.self_attn", r"transformer.encoder.layers.\1.self_attn"),
    (
        rf"{_ENCODER}\.(?:linear|fc|mlp\.fc)([12])\.{_BOTH}",
        r"transformer.encoder.layers.\1.linear\2.\3",
    ),
    (
        rf"{_ENCODER}\.(?:norm1|self_attn_layer_norm)\.{_BOTH}",
        r"transformer.encoder.layers.\1.norm1.\2",
    ),
    (
        rf"{_ENCODER}\.(?:norm2|final_layer_norm)\.{_BOTH}",
        r"transformer.encoder.layers.\1.norm2.\2",
    ),
    (rf"transformer\.encoder\.norm\.{_BOTH}", r"transformer.encoder.norm.\1"),
)

_DECODER_RENAMES = (
    *_attention_rows(rf"{_DECODER}\.self_attn", r"transformer.decoder.layers.\1.self_attn"),
    *_attention_rows(
        rf"{_DECODER}\.(?:multihead_attn|encoder_attn)",
        r"transformer.decoder.layers.\1.multihead_attn",
    ),
    (
        rf"{_DECODER}\.(?:linear|fc|mlp\.fc)([12])\.{_BOTH}",
        r"transformer.decoder.layers.\1.linear\2.\3",
    ),
    (
        rf"{_DECODER}\.(?:norm1|self_attn_layer_norm)\.{_BOTH}",
        r"transformer.decoder.layers.\1.norm1.\2",
    ),
    (
        rf"{_DECODER}\.(?:norm2|encoder_attn_layer_norm)\.{_BOTH}",
        r"transformer.decoder.layers.\1.norm2.\2",
    ),
    (
        rf"{_DECODER}\.(?:norm3|final_layer_norm)\.{_BOTH}",
        r"transformer.decoder.layers.\1.norm3.\2",
    ),
    (
        rf"(?:transformer\.decoder\.norm|decoder\.layernorm)\.{_BOTH}",
        r"transformer.decoder.norm.\1",
    ),
)

_REMAINING_RENAMES = (
    (rf"(?:input_proj|input_projection)\.{_BOTH}", r"input_proj.\1"),
    (r"(?:query_embed|query_position_embeddings)\.weight", r"query_embed.weight"),
    (rf"(?:class_embed|class_labels_classifier)\.{_BOTH}", r"class_embed.\1"),
    (rf"(?:bbox_embed|bbox_predictor)\.layers\.([0-2])\.{_BOTH}", r"bbox_embed.layers.\1.\2"),
    (r"backbone\.1\.(row|col)_embed\.weight", r"backbone.1.\1_embed.weight"),
    # One expression for both axes would have to shorten "column": two rows are plainer.
    (
        r"(?:backbone\.(?:conv_encoder\.)?)?position_embedding\.row_embeddings\.weight",
        r"backbone.1.row_embed.weight",
    ),
    (
        r"(?:backbone\.(?:conv_encoder\.)?)?position_embedding\.column_embeddings\.weight",
        r"backbone.1.col_embed.weight",
    ),
)

_PANOPTIC_SKIPS = (
    (r"mask_head\..*", "mask head of a panoptic model, not part of the detector"),
    (r"bbox_attention\..*", "mask attention of a panoptic model, not part of the detector"),
)

DETR_TABLE = RenameTable(
    wrappers=r"((module|model|detr)\.)*",
    renames=(
        *((_BACKBONE + pattern, "backbone." + target) for pattern, target in RESNET_RENAMES),
        *_ENCODER_RENAMES,
        *_DECODER_RENAMES,
        *_REMAINING_RENAMES,
    ),
    skips=(
        *BOOKKEEPING_SKIPS,
        *((_BACKBONE + pattern, reason) for pattern, reason in CLASSIFIER_SKIPS),
        *_PANOPTIC_SKIPS,
    ),
)
