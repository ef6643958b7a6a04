"""Names of Deformable DETR's tensors.

The canonical names are the official ones, with `backbone.0.body.` shortened to `backbone.` and the
fused `in_proj` of the decoder's self-attention split, as in DETR's table. The table also knows the
names that transformers uses in files and in memory.

The heads are `class_embed.k` and `bbox_embed.k`, one for each decoder layer. With box refinement
the decoder refers to them a second time; that copy gets the same canonical name.
`resolve_shared_heads` finds out how many heads a model has.

In a decoder layer `norm1` follows the cross-attention, though `norm2`, which follows the
self-attention, is applied first.

Source: fundamentalvision/Deformable-DETR models/deformable_detr.py, deformable_transformer.py,
backbone.py, ops/modules/ms_deform_attn.py; transformers
models/deformable_detr/modeling_deformable_detr.py and conversion_mapping.py.
"""

from .encoder_decoder import (
    BOTH,
    DECODER,
    DECODER_LAYER,
    ENCODER,
    ENCODER_LAYER,
    HUB_DECODER_LAYER,
    HUB_ENCODER_LAYER,
    detector_table,
)

_HEADS = r"(?:(?:transformer\.)?decoder\.)?"
_PROJECTION = rf"(sampling_offsets|attention_weights|value_proj|output_proj)\.{BOTH}"
_IN_TRANSFORMER = r"(reference_points|enc_output|enc_output_norm|pos_trans|pos_trans_norm)"

DEFORMABLE_SETTINGS = {
    "wrappers": r"((module|model)\.)*",
    "decoder_norms": ("encoder_attn_layer_norm", "self_attn_layer_norm", "final_layer_norm"),
    "renames": (
        (
            rf"{ENCODER}\.self_attn\.{_PROJECTION}",
            rf"{ENCODER_LAYER}.self_attn.\2.\3",
            rf"{HUB_ENCODER_LAYER}.self_attn.\2.\3",
        ),
        (
            rf"{DECODER}\.(?:cross_attn|encoder_attn)\.{_PROJECTION}",
            rf"{DECODER_LAYER}.cross_attn.\2.\3",
            rf"{HUB_DECODER_LAYER}.encoder_attn.\2.\3",
        ),
        (
            rf"input_proj\.(\d+)\.([01])\.{BOTH}",
            r"input_proj.\1.\2.\3",
            r"model.input_proj.\1.\2.\3",
        ),
        (r"(?:transformer\.)?level_embed", r"transformer.level_embed", r"model.level_embed"),
        (
            rf"(?:transformer\.)?{_IN_TRANSFORMER}\.{BOTH}",
            r"transformer.\1.\2",
            r"model.\1.\2",
        ),
        (rf"{_HEADS}class_embed\.(\d+)\.{BOTH}", r"class_embed.\1.\2", r"class_embed.\1.\2"),
        (
            rf"{_HEADS}bbox_embed\.(\d+)\.layers\.([0-2])\.{BOTH}",
            r"bbox_embed.\1.layers.\2.\3",
            r"bbox_embed.\1.layers.\2.\3",
        ),
    ),
}

DEFORMABLE_DETR_TABLE = detector_table(**DEFORMABLE_SETTINGS)
