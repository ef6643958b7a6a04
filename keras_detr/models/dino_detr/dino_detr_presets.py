"""The published weights of DINO."""

from keras_detr.checkpoints import HubFile
from keras_detr.models.presets.detector_settings import COCO_SETTINGS, resnet_settings
from keras_detr.models.presets.preset import Preset

DINO_DETR_PRESETS = {
    "dino_detr_r50": Preset(
        description="DINO with ResNet-50 on four feature maps, trained on COCO 2017",
        settings={
            **COCO_SETTINGS,
            "backbone": resnet_settings(50),
            "num_queries": 900,
            "feed_forward_dim": 2048,
            "num_levels": 4,
            "num_points": 4,
            "dropout": 0.0,
        },
        # The authors share their files on a drive that programs can't download from. This is a
        # copy by others, whose model card says that it is checkpoint0011_4scale.pth, of 12 epochs.
        weights=HubFile("LibreYOLO/LibreDINODETRr50", "LibreDINODETRr50.pt"),
        official_url="https://github.com/IDEA-Research/DINO#model-zoo",
        license="Apache-2.0",
        num_parameters=46990696,
        published={
            "AP": 49.0,
            "AP after 24 epochs": 50.4,
            "AP after 36 epochs": 50.9,
            "protocol": "COCO val2017, short side 800, long side at most 1333, 12 epochs of "
            "training unless said otherwise",
            "source": "Zhang et al. 2022, tables 1 and 2; the original's model table",
        },
    )
}
