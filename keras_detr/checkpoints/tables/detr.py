"""Names of DETR's tensors.

The canonical names are the official ones, with `backbone.0.body.` shortened to `backbone.` and each
fused `in_proj` split into `q_proj`, `k_proj` and `v_proj` (`to_canonical_names` splits it). The
table also knows the names that transformers uses in files and in memory, for object detection and
panoptic models, with timm's backbone or its own.

Source: facebookresearch/detr models/detr.py, transformer.py, backbone.py, segmentation.py;
transformers models/detr/modeling_detr.py and conversion_mapping.py.
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

_ENCODER_RENAMES = (
    *attention_rows(rf"{ENCODER}\.self_attn", rf"{ENCODER_LAYER}.self_attn"),
    *feed_forward_rows(ENCODER, ENCODER_LAYER),
    *norm_rows(ENCODER, ENCODER_LAYER, ("self_attn_layer_norm", "final_layer_norm")),
    (rf"transformer\.encoder\.norm\.{BOTH}", r"transformer.encoder.norm.\1"),
)

_DECODER_RENAMES = (
    *attention_rows(rf"{DECODER}\.self_attn", rf"{DECODER_LAYER}.self_attn"),
    *attention_rows(
        rf"{DECODER}\.(?:multihead_attn|encoder_attn)", rf"{DECODER_LAYER}.multihead_attn"
    ),
    *feed_forward_rows(DECODER, DECODER_LAYER),
    *norm_rows(
        DECODER,
        DECODER_LAYER,
        ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"),
    ),
    (
        rf"(?:transformer\.decoder\.norm|decoder\.layernorm)\.{BOTH}",
        r"transformer.decoder.norm.\1",
    ),
)

_REMAINING_RENAMES = (
    (rf"(?:input_proj|input_projection)\.{BOTH}", r"input_proj.\1"),
    (r"(?:query_embed|query_position_embeddings)\.weight", r"query_embed.weight"),
    (rf"(?:class_embed|class_labels_classifier)\.{BOTH}", r"class_embed.\1"),
    (rf"(?:bbox_embed|bbox_predictor)\.layers\.([0-2])\.{BOTH}", r"bbox_embed.layers.\1.\2"),
)

_PANOPTIC_SKIPS = (
    (r"mask_head\..*", "mask head of a panoptic model, not part of the detector"),
    (r"bbox_attention\..*", "mask attention of a panoptic model, not part of the detector"),
)

DETR_TABLE = RenameTable(
    wrappers=r"((module|model|detr)\.)*",
    renames=(
        *BACKBONE_RENAMES,
        *_ENCODER_RENAMES,
        *_DECODER_RENAMES,
        *_REMAINING_RENAMES,
        *LEARNED_POSITION_RENAMES,
    ),
    skips=(*BOOKKEEPING_SKIPS, *BACKBONE_SKIPS, *_PANOPTIC_SKIPS),
)
