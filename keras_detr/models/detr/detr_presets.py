"""The published weights of DETR."""

from keras_detr.checkpoints import HubFile
from keras_detr.models.presets.detector_settings import COCO_SETTINGS, resnet_settings
from keras_detr.models.presets.preset import Preset

_NUM_PARAMETERS = {50: 41628181, 101: 60672533}
_FIGURES = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")


def _preset(depth, official_file, figures, dilation=False):
    repository = f"facebook/detr-resnet-{depth}"
    description = f"DETR with ResNet-{depth}, trained on COCO 2017"
    if dilation:
        repository += "-dc5"
        description = (
            f"DETR with ResNet-{depth} and a dilated last stage, trained on COCO 2017 without "
            "padding: evaluate one image at a time"
        )
    return Preset(
        description=description,
        settings={
            **COCO_SETTINGS,
            "num_queries": 100,
            "feed_forward_dim": 2048,
            "backbone": resnet_settings(depth, dilation),
        },
        weights=HubFile(repository, "model.safetensors"),
        official_url=f"https://dl.fbaipublicfiles.com/detr/{official_file}",
        license="Apache-2.0",
        num_parameters=_NUM_PARAMETERS[depth],
        published={
            **dict(zip(_FIGURES, figures, strict=True)),
            "protocol": "COCO val2017, short side 800, long side at most 1333, 500 epochs of "
            "training",
            "source": "Carion et al. 2020, table 1",
        },
    )


DETR_PRESETS = {
    "detr_r50": _preset(50, "detr-r50-e632da11.pth", (42.0, 62.4, 44.2, 20.5, 45.8, 61.1)),
    "detr_r50_dc5": _preset(
        50, "detr-r50-dc5-f0fb7ef5.pth", (43.3, 63.1, 45.9, 22.5, 47.3, 61.1), dilation=True
    ),
    "detr_r101": _preset(101, "detr-r101-2c7b67e5.pth", (43.5, 63.8, 46.4, 21.9, 48.0, 61.8)),
    "detr_r101_dc5": _preset(
        101, "detr-r101-dc5-a2e86def.pth", (44.9, 64.7, 47.7, 23.7, 49.5, 62.3), dilation=True
    ),
}
