"""Translate the config.json of a Deformable DETR on the Hub into this package's settings.

Source: transformers models/deformable_detr/configuration_deformable_detr.py, whose defaults stand
in for absent keys; written by versions 4 and 5.
"""

from typing import Any

from .backbone import stages_handed_out
from .detector import detector_settings
from .fields import check, count

_PYRAMID = (2, 3, 4)
_LAST_STAGE = (4,)


def deformable_detr_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Translate the config.json of a Hub repository with a Deformable DETR.

    Args:
        config: dict, the parsed config.json, of model_type "deformable_detr".

    Returns:
        dict of plain values. The keys of `detr_settings`, where every row of the class head is a
        class, as there is no row for no object, and "num_queries" counts only without two stages;
        and besides:
            "num_feature_levels": int, 1 for the last stage of the backbone alone, else 3 for its
                last three stages, plus 1 for each further level of half the size.
            "num_encoder_points", "num_decoder_points": int, sampling points of each head and level.
            "with_box_refine": bool, whether each decoder layer refines the boxes of the one before.
            "two_stage": bool, whether the encoder proposes the boxes that the decoder starts with.
            "two_stage_num_proposals": int, how many; counts only with two stages.

    Raises:
        ValueError: the config describes a model that this package doesn't build. The message
            names the field.
    """
    settings = detector_settings(
        config, model_type="deformable_detr", num_queries=300, feed_forward_dim=1024
    )
    num_feature_levels = count(config, "num_feature_levels", 4)
    if num_feature_levels == 2:
        raise ValueError(
            "`num_feature_levels` of the Hub config must be 1, for the last stage of the backbone, "
            "or at least 3, for its last three stages. Received: 2."
        )
    expected = _LAST_STAGE if num_feature_levels == 1 else _PYRAMID
    field, stages = stages_handed_out(config, default=expected)
    check(field, stages, (expected,))
    with_box_refine = _flag(config, "with_box_refine")
    two_stage = _flag(config, "two_stage")
    if two_stage and not with_box_refine:
        raise ValueError(
            "`two_stage` of the Hub config needs `with_box_refine`: the second stage refines the "
            "boxes that the first proposes. Received: two_stage=True, with_box_refine=False."
        )
    return {
        **settings,
        "num_feature_levels": num_feature_levels,
        "num_encoder_points": count(config, "encoder_n_points", 4),
        "num_decoder_points": count(config, "decoder_n_points", 4),
        "with_box_refine": with_box_refine,
        "two_stage": two_stage,
        "two_stage_num_proposals": count(config, "two_stage_num_proposals", 300),
    }


def _flag(config, field):
    """Return a boolean of the config, false where it is absent."""
    value = config.get(field, False)
    check(field, value, (True, False))
    return bool(value)
