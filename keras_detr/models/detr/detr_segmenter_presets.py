"""The published weights of DETR with a mask head."""

from keras_detr.checkpoints import (
    COCO_CLASS_NAMES,
    COCO_PANOPTIC_CATEGORY_IDS,
    COCO_PANOPTIC_CLASS_NAMES,
    NUM_COCO_PANOPTIC_ROWS,
    HubFile,
)
from keras_detr.models.detr.detr_presets import DETR_PRESETS
from keras_detr.models.presets.preset import Preset

_NUM_PARAMETERS = {50: 42975459, 101: 62019811}
_NUM_CLASSES = len(COCO_PANOPTIC_CLASS_NAMES)
_FIGURES = ("AP", "AP_masks", "PQ")


def _preset(detector, depth, official_file, figures):
    """Return the preset of a segmenter whose detector has the architecture of a preset."""
    repository = f"{DETR_PRESETS[detector].weights.repo_id}-panoptic"
    is_dilated = DETR_PRESETS[detector].settings["backbone"]["dilation"]
    return Preset(
        description=(
            f"DETR with a mask head on ResNet-{depth}"
            + (" with a dilated last stage" if is_dilated else "")
            + ", trained on COCO 2017 panoptic: 80 kinds of things and 53 of stuff"
        ),
        settings={
            **DETR_PRESETS[detector].settings,
            "num_classes": _NUM_CLASSES,
            "class_names": COCO_PANOPTIC_CLASS_NAMES,
            "is_thing": tuple(i < len(COCO_CLASS_NAMES) for i in range(_NUM_CLASSES)),
            "class_rows": COCO_PANOPTIC_CATEGORY_IDS,
            "num_class_rows": NUM_COCO_PANOPTIC_ROWS,
        },
        weights=HubFile(repository, "model.safetensors"),
        official_url=f"https://dl.fbaipublicfiles.com/detr/{official_file}",
        license="Apache-2.0",
        num_parameters=_NUM_PARAMETERS[depth],
        published={
            **dict(zip(_FIGURES, figures, strict=True)),
            "protocol": "COCO val2017 panoptic, short side 800, long side at most 1333; AP of boxes "
            "and of masks are of things. Users measure a PQ near 24.7 with the released files "
            "(facebookresearch/detr issue 263, unresolved)",
            "source": "facebookresearch/detr, README.md, panoptic segmentation",
        },
    )


DETR_SEGMENTER_PRESETS = {
    "detr_r50_panoptic": _preset(
        "detr_r50", 50, "detr-r50-panoptic-00ce5173.pth", (38.8, 31.1, 43.4)
    ),
    "detr_r50_dc5_panoptic": _preset(
        "detr_r50_dc5", 50, "detr-r50-dc5-panoptic-da08f1b1.pth", (40.2, 31.9, 44.6)
    ),
    "detr_r101_panoptic": _preset(
        "detr_r101", 101, "detr-r101-panoptic-40021d53.pth", (40.1, 33.0, 45.1)
    ),
}
