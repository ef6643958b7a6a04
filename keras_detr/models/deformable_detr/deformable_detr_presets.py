"""The published weights of Deformable DETR."""

from keras_detr.checkpoints import HubFile
from keras_detr.models.presets.detector_settings import COCO_SETTINGS, resnet_settings
from keras_detr.models.presets.preset import Preset

_SETTINGS = {
    **COCO_SETTINGS,
    "backbone": resnet_settings(50),
    "num_queries": 300,
    "feed_forward_dim": 1024,
    "num_levels": 4,
    "num_points": 4,
    "use_box_refinement": False,
    "use_two_stage": False,
}
_FIGURES = ("AP", "AP_small", "AP_medium", "AP_large")


def _preset(description, repository, num_parameters, figures, **settings):
    return Preset(
        description=f"{description}, trained on COCO 2017",
        settings={**_SETTINGS, **settings},
        weights=HubFile(f"SenseTime/{repository}", "model.safetensors"),
        official_url="https://github.com/fundamentalvision/Deformable-DETR#main-results",
        license="Apache-2.0",
        num_parameters=num_parameters,
        published={
            **dict(zip(_FIGURES, figures, strict=True)),
            "protocol": "COCO val2017, short side 800, long side at most 1333, 50 epochs of "
            "training",
            "source": "Zhu et al. 2021, tables 1 and 3; the original's model table",
        },
    )


DEFORMABLE_DETR_PRESETS = {
    "deformable_detr_r50": _preset(
        "Deformable DETR with ResNet-50", "deformable-detr", 40173078, (44.5, 27.1, 47.6, 59.6)
    ),
    "deformable_detr_r50_single_scale": _preset(
        "Deformable DETR on one feature map of stride 32",
        "deformable-detr-single-scale",
        34170006,
        (39.4, 20.6, 43.0, 55.5),
        num_levels=1,
    ),
    "deformable_detr_r50_single_scale_dc5": _preset(
        "Deformable DETR on one feature map of stride 16 (a dilated last stage)",
        "deformable-detr-single-scale-dc5",
        34170006,
        (41.5, 24.1, 45.3, 56.0),
        num_levels=1,
        backbone=resnet_settings(50, dilation=True),
    ),
    "deformable_detr_r50_refine": _preset(
        "Deformable DETR with iterative box refinement",
        "deformable-detr-with-box-refine",
        40938938,
        (46.2, 28.3, 49.2, 61.5),
        use_box_refinement=True,
    ),
    "deformable_detr_r50_two_stage": _preset(
        "Two-stage Deformable DETR with iterative box refinement",
        "deformable-detr-with-box-refine-two-stage",
        41267980,
        (46.9, 29.6, 50.1, 61.6),
        use_box_refinement=True,
        use_two_stage=True,
    ),
}
