"""Write the config.json and preprocessor_config.json that transformers reads of a detector.

The way back from `detr_settings`, `deformable_detr_settings`, `preprocessor_sizes` and
`preprocessor_normalization`. Versions 4 and 5 of transformers read the same files.
"""

from typing import Any

from .backbone import backbone_config
from .preprocessor import LARGEST_SIDE

_PIXEL_RANGE = 255
_BILINEAR = 2


def detr_config(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the config.json of a DETR.

    Args:
        settings: dict as `detr_settings` returns it. "backbone" holds all arguments that make the
            size of a `ResNetBackbone`; "class_rows" isn't needed.

    Example:
        ```python
        from keras_detr.checkpoints import detr_config, detr_settings

        settings = detr_settings({"id2label": {"0": "cat"}, "model_type": "detr"})
        size = keras_detr.ResNetBackbone(50).get_config()
        config = detr_config({**settings, "backbone": size})
        print(config["model_type"], config["id2label"])
        ```
    """
    return {
        "architectures": ["DetrForObjectDetection"],
        "model_type": "detr",
        "auxiliary_loss": False,
        **_shared_fields(settings, stages=(4,)),
    }


def deformable_detr_config(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the config.json of a Deformable DETR.

    Args:
        settings: dict as `deformable_detr_settings` returns it, see `detr_config`.

    Example:
        ```python
        from keras_detr.checkpoints import deformable_detr_config, deformable_detr_settings

        settings = deformable_detr_settings({"model_type": "deformable_detr"})
        size = keras_detr.ResNetBackbone(50).get_config()
        print(deformable_detr_config({**settings, "backbone": size})["model_type"])
        ```
    """
    num_levels = settings["num_levels"]
    return {
        "architectures": ["DeformableDetrForObjectDetection"],
        "model_type": "deformable_detr",
        "auxiliary_loss": False,
        "num_feature_levels": num_levels,
        "encoder_n_points": settings["num_points"],
        "decoder_n_points": settings["num_points"],
        "with_box_refine": settings["use_box_refinement"],
        "two_stage": settings["use_two_stage"],
        "two_stage_num_proposals": settings["num_queries"],
        **_shared_fields(settings, stages=(4,) if num_levels == 1 else (2, 3, 4)),
    }


def preprocessor_config(model_type, sizes, mean, standard_deviation) -> dict[str, Any]:
    """Return the preprocessor_config.json of a detector.

    Args:
        model_type: str, that of its config.json.
        sizes: pair of the short side that images are resized to, and the long side's limit or
            `None`.
        mean: three floats, of red, green and blue in 0..255.
        standard_deviation: three floats, as `mean`.
    """
    short_side, longest_side = sizes
    processors = {"detr": "DetrImageProcessor", "deformable_detr": "DeformableDetrImageProcessor"}
    return {
        "image_processor_type": processors[model_type],
        "format": "coco_detection",
        "do_resize": True,
        "size": {"shortest_edge": short_side, "longest_edge": longest_side or LARGEST_SIDE},
        "resample": _BILINEAR,
        "do_rescale": True,
        "rescale_factor": 1 / _PIXEL_RANGE,
        "do_normalize": True,
        "image_mean": [value / _PIXEL_RANGE for value in mean],
        "image_std": [value / _PIXEL_RANGE for value in standard_deviation],
        "do_pad": True,
    }


def _shared_fields(settings, stages):
    """Return what both kinds of config.json have; the backbone's weights are in the same file."""
    # The names that transformers gives to classes without any.
    names = settings["class_names"] or [f"LABEL_{i}" for i in range(settings["num_classes"])]
    return {
        "use_timm_backbone": False,
        "use_pretrained_backbone": False,
        "backbone": None,
        "backbone_config": backbone_config(settings["backbone"], stages),
        "dilation": False,
        "num_channels": 3,
        "num_queries": settings["num_queries"],
        "d_model": settings["hidden_dim"],
        "encoder_layers": settings["num_encoder_layers"],
        "decoder_layers": settings["num_decoder_layers"],
        "encoder_attention_heads": settings["num_heads"],
        "decoder_attention_heads": settings["num_heads"],
        "encoder_ffn_dim": settings["feed_forward_dim"],
        "decoder_ffn_dim": settings["feed_forward_dim"],
        "dropout": settings["dropout"],
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "activation_function": settings["activation"],
        "position_embedding_type": settings["position_embedding"],
        "id2label": {str(row): name for row, name in enumerate(names)},
        "label2id": {name: row for row, name in enumerate(names)},
    }
