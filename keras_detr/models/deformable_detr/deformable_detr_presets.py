"""The published weights of Deformable DETR."""

from keras_detr.checkpoints import COCO_CATEGORY_IDS, COCO_CLASS_NAMES, HubFile
from keras_detr.layers.learned_position_embedding import LearnedPositionEmbedding
from keras_detr.layers.sine_position_embedding import SinePositionEmbedding
from keras_detr.models.backbones.resnet_backbone import ResNetBackbone
from keras_detr.models.necks.multi_scale_neck import MultiScaleNeck
from keras_detr.models.presets.preset import Preset

_SETTINGS = {
    "backbone": {"depth": 50, "dilation": False, "name": "resnet50"},
    "num_classes": len(COCO_CLASS_NAMES),
    "class_names": COCO_CLASS_NAMES,
    # The official head has a row for every category id up to 90.
    "class_rows": COCO_CATEGORY_IDS,
    "num_queries": 300,
    "hidden_dim": 256,
    "num_heads": 8,
    "num_encoder_layers": 6,
    "num_decoder_layers": 6,
    "feed_forward_dim": 1024,
    "dropout": 0.1,
    "activation": "relu",
    "position_embedding": "sine",
    "num_levels": 4,
    "num_points": 4,
    "use_box_refinement": False,
    "use_two_stage": False,
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
        num_levels=1,
    ),
    "deformable_detr_r50_single_scale_dc5": _preset(
        "Deformable DETR on one feature map of stride 16 (a dilated last stage), trained on COCO "
        "2017",
        "deformable-detr-single-scale-dc5",
        34170006,
        _figures(41.5, 24.1, 45.3, 56.0),
        num_levels=1,
        backbone={**_SETTINGS["backbone"], "dilation": True},
    ),
    "deformable_detr_r50_refine": _preset(
        "Deformable DETR with iterative box refinement, trained on COCO 2017",
        "deformable-detr-with-box-refine",
        40938938,
        _figures(46.2, 28.3, 49.2, 61.5),
        use_box_refinement=True,
    ),
    "deformable_detr_r50_two_stage": _preset(
        "Two-stage Deformable DETR with iterative box refinement, trained on COCO 2017",
        "deformable-detr-with-box-refine-two-stage",
        41267980,
        _figures(46.9, 29.6, 50.1, 61.6),
        use_box_refinement=True,
        use_two_stage=True,
    ),
}


def deformable_detr_arguments(settings):
    """Return the constructor's arguments of a Deformable DETR.

    Args:
        settings: dict, from `checkpoints.deformable_detr_settings` or a preset.

    Returns:
        dict of arguments of `DeformableDETR`, a new backbone and neck among them.
    """
    arguments = {name: value for name, value in settings.items() if name != "class_rows"}
    hidden_dim = settings["hidden_dim"]
    if arguments.pop("position_embedding") == "sine":
        embedding = SinePositionEmbedding(hidden_dim, offset=-0.5, name="position_embedding")
    else:
        embedding = LearnedPositionEmbedding(hidden_dim, name="position_embedding")
    return {
        **arguments,
        "backbone": ResNetBackbone(**settings["backbone"]),
        "neck": MultiScaleNeck(
            hidden_dim, settings["num_levels"], position_embedding=embedding, name="neck"
        ),
    }
