"""Names of DETR's tensors.

The canonical names are the official ones, with `backbone.0.body.` shortened to `backbone.` and each
fused `in_proj` split into `q_proj`, `k_proj` and `v_proj` (`to_canonical_names` splits it). The
table also knows the names that transformers uses in files and in memory, for object detection and
panoptic models, with timm's backbone or its own.

Source: facebookresearch/detr models/detr.py, transformer.py, backbone.py, segmentation.py;
transformers models/detr/modeling_detr.py and conversion_mapping.py.
"""

from .encoder_decoder import (
    BOTH,
    DECODER,
    DECODER_LAYER,
    ENCODER,
    ENCODER_LAYER,
    HUB_DECODER_LAYER,
    HUB_ENCODER_LAYER,
    attention_rows,
    detector_table,
)

_WRAPPERS = r"((module|model|detr)\.)*"
_DECODER_NORMS = ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm")
_RENAMES = (
    *attention_rows(
        rf"{ENCODER}\.self_attn",
        rf"{ENCODER_LAYER}.self_attn",
        rf"{HUB_ENCODER_LAYER}.self_attn",
    ),
    *attention_rows(
        rf"{DECODER}\.(?:multihead_attn|encoder_attn)",
        rf"{DECODER_LAYER}.multihead_attn",
        rf"{HUB_DECODER_LAYER}.encoder_attn",
    ),
    (rf"transformer\.encoder\.norm\.{BOTH}", r"transformer.encoder.norm.\1"),
    (
        rf"(?:transformer\.decoder\.norm|decoder\.layernorm)\.{BOTH}",
        r"transformer.decoder.norm.\1",
        r"model.decoder.layernorm.\1",
    ),
    (
        rf"(?:input_proj|input_projection)\.{BOTH}",
        r"input_proj.\1",
        r"model.input_projection.\1",
    ),
    (
        rf"(?:class_embed|class_labels_classifier)\.{BOTH}",
        r"class_embed.\1",
        r"class_labels_classifier.\1",
    ),
    (
        rf"(?:bbox_embed|bbox_predictor)\.layers\.([0-2])\.{BOTH}",
        r"bbox_embed.layers.\1.\2",
        r"bbox_predictor.layers.\1.\2",
    ),
)
DETR_TABLE = detector_table(
    wrappers=_WRAPPERS,
    decoder_norms=_DECODER_NORMS,
    renames=_RENAMES,
    skips=(
        (r"mask_head\..*", "mask head of a panoptic model, not part of the detector"),
        (r"bbox_attention\..*", "mask attention of a panoptic model, not part of the detector"),
    ),
)
DETR_SEGMENTER_TABLE = detector_table(
    wrappers=_WRAPPERS,
    decoder_norms=_DECODER_NORMS,
    renames=(
        *_RENAMES,
        (rf"mask_head\.((?:lay|gn|adapter)\d|out_lay)\.{BOTH}", r"mask_head.\1.\2"),
        (rf"bbox_attention\.([qk]_linear)\.{BOTH}", r"bbox_attention.\1.\2"),
    ),
)
