"""Published ImageNet weights of ResNet."""

from keras_detr.checkpoints import HubFile
from keras_detr.models.presets.preset import Preset


def _preset(depth, num_parameters, official_file, accuracy):
    return Preset(
        description=f"ResNet-{depth} trained on ImageNet-1k by torchvision's first recipe",
        settings={"depth": depth},
        weights=HubFile(f"timm/resnet{depth}.tv_in1k", "model.safetensors"),
        official_url=f"https://download.pytorch.org/models/{official_file}",
        license="BSD-3-Clause",
        num_parameters=num_parameters,
        published={
            "top-1 accuracy": accuracy,
            "protocol": "ImageNet-1k validation, center crop 224",
            "source": "torchvision's table of models",
        },
    )


RESNET_PRESETS = {
    "resnet50_imagenet": _preset(50, 23561152, "resnet50-0676ba61.pth", 76.130),
    "resnet101_imagenet": _preset(101, 42605504, "resnet101-63fe2227.pth", 77.374),
}
