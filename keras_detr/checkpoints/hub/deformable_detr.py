"""Translate the config.json of a Deformable DETR on the Hub into `DeformableDETR`'s arguments.

Source: transformers models/deformable_detr/configuration_deformable_detr.py, versions 4 and 5,
whose defaults replace missing keys.
"""

from typing import Any

from .backbone import stages_read
from .detector import detector_settings
from .fields import check, count, shared_count


def deformable_detr_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Translate the config.json of a Hub repository with a Deformable DETR.

    Args:
        config: dict, the parsed config.json, of model_type "deformable_detr".

    Returns:
        dict of plain values under the names of `DeformableDETR`'s arguments, with the same keys as
        from `detr_settings`, and "num_levels", "num_points", "use_box_refinement" and
        "use_two_stage". The class head has no row for no-object. "num_queries" is the number of
        proposals if there are two stages.

    Raises:
        ValueError: the config describes a model that this package doesn't build. The message
            names the field.

    Example:
        ```python
        from keras_detr.checkpoints import deformable_detr_settings

        config = {"model_type": "deformable_detr", "with_box_refine": True}
        print(deformable_detr_settings(config)["use_box_refinement"])  # True
        ```
    """
    settings = detector_settings(
        config, model_type="deformable_detr", num_queries=300, feed_forward_dim=1024
    )
    num_levels = count(config, "num_feature_levels", 4)
    if num_levels == 2:
        raise ValueError(
            "`num_feature_levels` of the Hub config must be 1, for the last stage of the backbone, "
            "or at least 3, for its last three stages. Received: 2."
        )
    expected = (4,) if num_levels == 1 else (2, 3, 4)
    field, stages = stages_read(config, default=expected)
    check(field, stages, (expected,))
    use_box_refinement = _flag(config, "with_box_refine")
    use_two_stage = _flag(config, "two_stage")
    if use_two_stage and not use_box_refinement:
        raise ValueError(
            "`two_stage` of the Hub config needs `with_box_refine`: the second stage refines the "
            "boxes that the first proposes. Received: two_stage=True, with_box_refine=False."
        )
    num_proposals = count(config, "two_stage_num_proposals", 300)
    return {
        **settings,
        "num_queries": num_proposals if use_two_stage else settings["num_queries"],
        "num_levels": num_levels,
        "num_points": shared_count(config, "n_points", 4),
        "use_box_refinement": use_box_refinement,
        "use_two_stage": use_two_stage,
    }


def _flag(config, field):
    """Return a boolean of the config, false where it is absent."""
    value = config.get(field, False)
    check(field, value, (True, False))
    return bool(value)
