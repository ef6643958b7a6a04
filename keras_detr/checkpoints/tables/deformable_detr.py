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
    BACKBONE_RENAMES,
    BACKBONE_SKIPS,
    BOTH,
    DECODER,
    DECODER_LAYER,
    ENCODER,
    ENCODER_LAYER,
    LEARNED_POSITION_RENAMES,
    attention_rows,
    feed_forward_rows,
    norm_rows,
)
from .rename_table import RenameTable
from .resnet import BOOKKEEPING_SKIPS

_HEADS = r"(?:(?:transformer\.)?decoder\.)?"


def _deformable_attention_rows(source, target):
    """Return the rows of one multi-scale deformable attention.

    Args:
        source: str, regular expression of the attention's name, with one group: the layer.
        target: str, its canonical name.
    """
    parts = r"(sampling_offsets|attention_weights|value_proj|output_proj)"
    return ((rf"{source}\.{parts}\.{BOTH}", rf"{target}.\2.\3"),)


_ENCODER_RENAMES = (
    *_deformable_attention_rows(rf"{ENCODER}\.self_attn", rf"{ENCODER_LAYER}.self_attn"),
    *feed_forward_rows(ENCODER, ENCODER_LAYER),
    *norm_rows(ENCODER, ENCODER_LAYER, ("self_attn_layer_norm", "final_layer_norm")),
)

_DECODER_RENAMES = (
    *attention_rows(rf"{DECODER}\.self_attn", rf"{DECODER_LAYER}.self_attn"),
    *_deformable_attention_rows(
        rf"{DECODER}\.(?:cross_attn|encoder_attn)", rf"{DECODER_LAYER}.cross_attn"
    ),
    *feed_forward_rows(DECODER, DECODER_LAYER),
    *norm_rows(
        DECODER,
        DECODER_LAYER,
        ("encoder_attn_layer_norm", "self_attn_layer_norm", "final_layer_norm"),
    ),
)

_REMAINING_RENAMES = (
    (rf"input_proj\.(\d+)\.([01])\.{BOTH}", r"input_proj.\1.\2.\3"),
    (r"(?:query_embed|query_position_embeddings)\.weight", r"query_embed.weight"),
    (r"(?:transformer\.)?level_embed", r"transformer.level_embed"),
    (
        r"(?:transformer\.)?(reference_points|enc_output|enc_output_norm|pos_trans|pos_trans_norm)"
        rf"\.{BOTH}",
        r"transformer.\1.\2",
    ),
    (rf"{_HEADS}class_embed\.(\d+)\.{BOTH}", r"class_embed.\1.\2"),
    (rf"{_HEADS}bbox_embed\.(\d+)\.layers\.([0-2])\.{BOTH}", r"bbox_embed.\1.layers.\2.\3"),
)

DEFORMABLE_DETR_TABLE = RenameTable(
    wrappers=r"((module|model)\.)*",
    renames=(
        *BACKBONE_RENAMES,
        *_ENCODER_RENAMES,
        *_DECODER_RENAMES,
        *_REMAINING_RENAMES,
        *LEARNED_POSITION_RENAMES,
    ),
    skips=(*BOOKKEEPING_SKIPS, *BACKBONE_SKIPS),
)
