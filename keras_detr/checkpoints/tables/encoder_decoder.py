"""Rows that the tables of several detectors share.

They rename the backbone of a detector, learned position embeddings, queries, and the layers of a
transformer with an encoder and a decoder.

Source: facebookresearch/detr models/transformer.py, backbone.py; fundamentalvision/Deformable-DETR
models/deformable_transformer.py, backbone.py; transformers models/detr/modeling_detr.py,
models/deformable_detr/modeling_deformable_detr.py and conversion_mapping.py.
"""

from .rename_table import RenameTable
from .resnet import BOOKKEEPING_SKIPS, CLASSIFIER_SKIPS, RESNET_RENAMES

BOTH = r"(weight|bias)"
ENCODER = r"(?:transformer\.)?encoder\.layers\.(\d+)"
DECODER = r"(?:transformer\.)?decoder\.layers\.(\d+)"
ENCODER_LAYER = r"transformer.encoder.layers.\1"
DECODER_LAYER = r"transformer.decoder.layers.\1"
HUB_ENCODER_LAYER = r"model.encoder.layers.\1"
HUB_DECODER_LAYER = r"model.decoder.layers.\1"
_BACKBONE = r"backbone\.(?:(?:0\.body|conv_encoder\.model|model)\.)?(?:_backbone\.)?"
_HUB_BACKBONE = "model.backbone.conv_encoder.model"
_LEARNED_POSITIONS = r"(?:backbone\.(?:conv_encoder\.)?)?position_embedding"
# As files of transformers 5 have it; those of version 4 count it among the backbone.
_HUB_POSITIONS = "model.position_embedding"


def detector_table(wrappers, decoder_norms, renames, skips=()):
    """Return the `RenameTable` of a detector: the rows that all detectors share, and its own.

    `decoder_norms` are the names of the decoder's `norm1`, `norm2`, `norm3` in transformers.
    """
    encoder_norms = ("self_attn_layer_norm", "final_layer_norm")
    return RenameTable(
        wrappers=wrappers,
        renames=(
            *map(_backbone_row, RESNET_RENAMES),
            *_layer_rows(ENCODER, ENCODER_LAYER, HUB_ENCODER_LAYER, encoder_norms),
            *attention_rows(
                rf"{DECODER}\.self_attn",
                rf"{DECODER_LAYER}.self_attn",
                rf"{HUB_DECODER_LAYER}.self_attn",
            ),
            *_layer_rows(DECODER, DECODER_LAYER, HUB_DECODER_LAYER, decoder_norms),
            (
                r"(?:query_embed|query_position_embeddings)\.weight",
                r"query_embed.weight",
                r"model.query_position_embeddings.weight",
            ),
            (r"backbone\.1\.(row|col)_embed\.weight", r"backbone.1.\1_embed.weight"),
            # Two rows, as a single expression can't shorten "column" to "col".
            (
                rf"{_LEARNED_POSITIONS}\.row_embeddings\.weight",
                r"backbone.1.row_embed.weight",
                f"{_HUB_POSITIONS}.row_embeddings.weight",
            ),
            (
                rf"{_LEARNED_POSITIONS}\.column_embeddings\.weight",
                r"backbone.1.col_embed.weight",
                f"{_HUB_POSITIONS}.column_embeddings.weight",
            ),
            *renames,
        ),
        skips=(
            *BOOKKEEPING_SKIPS,
            *((_BACKBONE + pattern, reason) for pattern, reason in CLASSIFIER_SKIPS),
            *skips,
        ),
    )


def attention_rows(source, target, hub_name):
    """Return the rows of one attention: fused or separate projections, and the output's.

    `source` is a regular expression of the attention's name with one group, the layer; `target` is
    its canonical name and `hub_name` that in transformers' files.
    """
    return (
        (rf"{source}\.in_proj_{BOTH}", rf"{target}.in_proj_\2"),
        (rf"{source}\.([qkv])_proj\.{BOTH}", rf"{target}.\2_proj.\3", rf"{hub_name}.\2_proj.\3"),
        (
            rf"{source}\.(?:out|o)_proj\.{BOTH}",
            rf"{target}.out_proj.\2",
            rf"{hub_name}.out_proj.\2",
        ),
    )


def _backbone_row(row):
    """Return a row of a ResNet's table for the backbone of a detector."""
    pattern, target, *hub_name = row
    return (
        _BACKBONE + pattern,
        f"backbone.{target}",
        *(f"{_HUB_BACKBONE}.{name}" for name in hub_name),
    )


def _layer_rows(source, target, hub_name, norms):
    """Return the rows of a layer's two dense layers and of its norms; see `detector_table`."""
    return (
        (
            rf"{source}\.(?:linear|fc|mlp\.fc)([12])\.{BOTH}",
            rf"{target}.linear\2.\3",
            rf"{hub_name}.fc\2.\3",
        ),
        *(
            (
                rf"{source}\.(?:norm{index}|{name})\.{BOTH}",
                rf"{target}.norm{index}.\2",
                rf"{hub_name}.{name}.\2",
            )
            for index, name in enumerate(norms, start=1)
        ),
    )
