"""The published weights of Deformable DETR."""

from keras_detr.checkpoints import COCO_CATEGORY_IDS, COCO_CLASS_NAMES, HubFile
from keras_detr.layers.learned_position_embedding import LearnedPositionEmbedding
from keras_detr.layers.sine_position_embedding import SinePositionEmbedding
from keras_detr.models.backbones.resnet_settings import resnet_of_settings
from keras_detr.models.necks.multi_scale_neck import MultiScaleNeck
from keras_detr.models.presets.preset import Preset

_SETTINGS = {
    "backbone": "resnet50",
    "dilation": False,
    "num_classes": len(COCO_CLASS_NAMES),
    "class_names": COCO_CLASS_NAMES,
    # The official head has a row for every category id up to 90.
    "kept_class_rows": COCO_CATEGORY_IDS,
    "num_queries": 300,
    "hidden_dim": 256,
    "num_heads": 8,
    "num_encoder_layers": 6,
    "num_decoder_layers": 6,
    "feed_forward_dim": 1024,
    "dropout": 0.1,
    "activation": "relu",
    "position_embedding": "sine",
    "num_feature_levels": 4,
    "num_encoder_points": 4,
    "num_decoder_points": 4,
    "with_box_refine": False,
    "two_stage": False,
    "two_stage_num_proposals": 300,
}
_PROTOCOL = {
    "protocol": "COCO val2017, short side 800, long side at most 1333, 50 epochs of training",
    "source": "Zhu et al. 2021, tables 1 and 3; the original's model table",
}


def _preset(description, repository, num_parameters, published, **settings):
    return Preset(
        description=description,
        settings={**_SETTINGS, **settings},
        weights=HubFile(f"SenseTime/{repository}", "model.safetensors"),
        official_url="https://github.com/fundamentalvision/Deformable-DETR#main-results",
        license="Apache-2.0",
        num_parameters=num_parameters,
        published={**published, **_PROTOCOL},
    )


def _figures(ap, small, medium, large):
    return {"AP": ap, "AP_small": small, "AP_medium": medium, "AP_large": large}


DEFORMABLE_DETR_PRESETS = {
    "deformable_detr_r50": _preset(
        "Deformable DETR with ResNet-50, trained on COCO 2017",
        "deformable-detr",
        40173078,
        _figures(44.5, 27.1, 47.6, 59.6),
    ),
    "deformable_detr_r50_single_scale": _preset(
        "Deformable DETR on one feature map of stride 32, trained on COCO 2017",
        "deformable-detr-single-scale",
        34170006,
        _figures(39.4, 20.6, 43.0, 55.5),
        num_feature_levels=1,
    ),
    "deformable_detr_r50_single_scale_dc5": _preset(
        "Deformable DETR on one feature map of stride 16 (a dilated last stage), trained on COCO "
        "2017",
        "deformable-detr-single-scale-dc5",
        34170006,
        _figures(41.5, 24.1, 45.3, 56.0),
        num_feature_levels=1,
        dilation=True,
    ),
    "deformable_detr_r50_refine": _preset(
        "Deformable DETR with iterative box refinement, trained on COCO 2017",
        "deformable-detr-with-box-refine",
        40938938,
        _figures(46.2, 28.3, 49.2, 61.5),
        with_box_refine=True,
    ),
    "deformable_detr_r50_two_stage": _preset(
        "Two-stage Deformable DETR with iterative box refinement, trained on COCO 2017",
        "deformable-detr-with-box-refine-two-stage",
        41267980,
        _figures(46.9, 29.6, 50.1, 61.6),
        with_box_refine=True,
        two_stage=True,
    ),
}


def deformable_detr_arguments(settings):
    """Return the constructor's arguments of a Deformable DETR.

    Args:
        settings: dict, from `checkpoints.deformable_detr_settings` or a preset.

    Returns:
        dict of arguments of `DeformableDETR`, a new backbone and neck among them.

    Raises:
        ValueError: encoder and decoder read different numbers of points.
    """
    points = settings["num_encoder_points"], settings["num_decoder_points"]
    if points[0] != points[1]:
        raise ValueError(
            "`encoder_n_points` and `decoder_n_points` of the Hub config must be equal. Received: "
            f"{points[0]} and {points[1]}."
        )
    kept = (
        "num_classes",
        "class_names",
        "hidden_dim",
        "num_heads",
        "num_encoder_layers",
        "num_decoder_layers",
        "feed_forward_dim",
        "dropout",
        "activation",
    )
    hidden_dim, num_levels = settings["hidden_dim"], settings["num_feature_levels"]
    if settings["position_embedding"] == "sine":
        embedding = SinePositionEmbedding(hidden_dim, offset=-0.5, name="position_embedding")
    else:
        embedding = LearnedPositionEmbedding(hidden_dim, name="position_embedding")
    is_two_stage = settings["two_stage"]
    return {
        **{name: settings[name] for name in kept},
        "num_queries": settings["two_stage_num_proposals" if is_two_stage else "num_queries"],
        "num_levels": num_levels,
        "num_points": points[0],
        "use_box_refinement": settings["with_box_refine"],
        "use_two_stage": is_two_stage,
        "backbone": resnet_of_settings(settings),
        "neck": MultiScaleNeck(hidden_dim, num_levels, position_embedding=embedding, name="neck"),
    }
