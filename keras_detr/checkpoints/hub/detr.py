"""Translate the config.json of a DETR on the Hub into this package's settings.

Source: transformers models/detr/configuration_detr.py, whose defaults stand in for absent keys;
written by versions 4 and 5.
"""

from typing import Any

from .backbone import stages_handed_out
from .detector import detector_settings
from .fields import check


def detr_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Translate the config.json of a Hub repository with a DETR.

    Args:
        config: dict, the parsed config.json, of model_type "detr".

    Returns:
        dict of plain values:
            "backbone": str, "resnet18", "resnet34", "resnet50" or "resnet101"; None for another
                ResNet, which the four keys "backbone_*" describe.
            "backbone_block_type": str, "basic" or "bottleneck".
            "backbone_depths", "backbone_hidden_sizes": tuples of 4 ints, blocks and output
                channels of each stage.
            "backbone_embedding_size": int, channels of the stem.
            "dilation": bool, whether the last stage is dilated instead of strided (DC5).
            "num_classes": int, the classes in use.
            "class_names": tuple of str, their names; None if they are transformers' "LABEL_0",
                "LABEL_1", ..., which stand for no names.
            "kept_class_rows": tuple of int, their rows in the class head, ascending. Rows labelled
                "N/A" are left out; the no-object row comes after all rows and isn't counted.
            "num_queries", "hidden_dim", "num_heads", "num_encoder_layers", "num_decoder_layers",
                "feed_forward_dim": int.
            "dropout": float.
            "activation": str, "relu", "gelu" or "silu".
            "position_embedding": str, "sine" or "learned".

    Raises:
        ValueError: the config describes a model that this package doesn't build. The message
            names the field.
    """
    settings = detector_settings(config, model_type="detr", num_queries=100, feed_forward_dim=2048)
    field, stages = stages_handed_out(config, default=(4,))
    check(f"{field}[-1]", stages[-1], (4,))
    return settings
