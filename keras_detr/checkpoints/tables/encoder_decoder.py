"""Rows that the tables of several detectors share.

They rename the backbone of a detector, learned position embeddings, and the layers of a transformer
with an encoder and a decoder.

Source: facebookresearch/detr models/transformer.py, backbone.py; fundamentalvision/Deformable-DETR
models/deformable_transformer.py, backbone.py; transformers models/detr/modeling_detr.py,
models/deformable_detr/modeling_deformable_detr.py and conversion_mapping.py.
"""

from .resnet import CLASSIFIER_SKIPS, RESNET_RENAMES

BOTH = r"(weight|bias)"
ENCODER = r"(?:transformer\.)?encoder\.layers\.(\d+)"
DECODER = r"(?:transformer\.)?decoder\.layers\.(\d+)"
ENCODER_LAYER = r"transformer.encoder.layers.\1"
DECODER_LAYER = r"transformer.decoder.layers.\1"
_BACKBONE = r"backbone\.(?:(?:0\.body|conv_encoder\.model|model)\.)?(?:_backbone\.)?"


def attention_rows(source, target):
    """Return the rows of one attention: fused or separate projections, and the output's.

    Args:
        source: str, regular expression of the attention's name, with one group: the layer.
        target: str, its canonical name.
    """
    return (
        (rf"{source}\.in_proj_{BOTH}", rf"{target}.in_proj_\2"),
        (rf"{source}\.([qkv])_proj\.{BOTH}", rf"{target}.\2_proj.\3"),
        (rf"{source}\.(?:out|o)_proj\.{BOTH}", rf"{target}.out_proj.\2"),
    )


def feed_forward_rows(source, target):
    """Return the rows of a layer's two dense layers.

    Args:
        source: str, regular expression of the layer's name, with one group: its number.
        target: str, its canonical name.
    """
    return ((rf"{source}\.(?:linear|fc|mlp\.fc)([12])\.{BOTH}", rf"{target}.linear\2.\3"),)


def norm_rows(source, target, names):
    """Return the rows of a layer's norms.

    Args:
        source: str, regular expression of the layer's name, with one group: its number.
        target: str, its canonical name.
        names: sequence of str, the names of `norm1`, `norm2`, ... in transformers.
    """
    return tuple(
        (rf"{source}\.(?:norm{index}|{name})\.{BOTH}", rf"{target}.norm{index}.\2")
        for index, name in enumerate(names, start=1)
    )


BACKBONE_RENAMES = tuple(
    (_BACKBONE + pattern, "backbone." + target) for pattern, target in RESNET_RENAMES
)
BACKBONE_SKIPS = tuple((_BACKBONE + pattern, reason) for pattern, reason in CLASSIFIER_SKIPS)

LEARNED_POSITION_RENAMES = (
    (r"backbone\.1\.(row|col)_embed\.weight", r"backbone.1.\1_embed.weight"),
    # Two rows, as a single expression can't shorten "column" to "col".
    (
        r"(?:backbone\.(?:conv_encoder\.)?)?position_embedding\.row_embeddings\.weight",
        r"backbone.1.row_embed.weight",
    ),
    (
        r"(?:backbone\.(?:conv_encoder\.)?)?position_embedding\.column_embeddings\.weight",
        r"backbone.1.col_embed.weight",
    ),
)
