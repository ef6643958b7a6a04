"""Names of DINO's tensors.

The canonical names are the official ones, shortened and split as in Deformable DETR's table, whose
names DINO's files share. All decoder layers share one class head and one box head, of which files
hold a copy for each layer, under two names; `resolve_shared_heads` makes one of them.

Source: IDEA-Research/DINO models/dino/dino.py, deformable_transformer.py, backbone.py.
"""

from .deformable_detr import DEFORMABLE_SETTINGS
from .encoder_decoder import BOTH, detector_table

_PERCEPTRONS = r"transformer\.(enc_out_bbox_embed|decoder\.ref_point_head)"

DINO_DETR_TABLE = detector_table(
    **{
        **DEFORMABLE_SETTINGS,
        "renames": (
            *DEFORMABLE_SETTINGS["renames"],
            (r"label_enc\.weight", r"label_enc.weight"),
            (r"transformer\.tgt_embed\.weight", r"transformer.tgt_embed.weight"),
            (rf"transformer\.(enc_out_class_embed|decoder\.norm)\.{BOTH}", r"transformer.\1.\2"),
            (rf"{_PERCEPTRONS}\.layers\.(\d+)\.{BOTH}", r"transformer.\1.layers.\2.\3"),
        ),
    }
)
