"""The published weights of DETR."""

from keras_detr.checkpoints import COCO_CATEGORY_IDS, COCO_CLASS_NAMES, HubFile
from keras_detr.layers.learned_position_embedding import LearnedPositionEmbedding
from keras_detr.layers.sine_position_embedding import SinePositionEmbedding
from keras_detr.models.backbones.resnet_backbone import ResNetBackbone
from keras_detr.models.necks.single_scale_neck import SingleScaleNeck
from keras_detr.models.presets.preset import Preset

_SETTINGS = {
    "num_classes": len(COCO_CLASS_NAMES),
    "class_names": COCO_CLASS_NAMES,
    # The official head has a row for every category id up to 90.
    "class_rows": COCO_CATEGORY_IDS,
    "num_queries": 100,
    "hidden_dim": 256,
    "num_heads": 8,
    "num_encoder_layers": 6,
    "num_decoder_layers": 6,
    "feed_forward_dim": 2048,
    "dropout": 0.1,
    "activation": "relu",
    "position_embedding": "sine",
}
_PROTOCOL = {
    "protocol": "COCO val2017, short side 800, long side at most 1333, 500 epochs of training",
    "source": "Carion et al. 2020, table 1",
}


def _preset(description, depth, dilation, repository, file, num_parameters, published):
    return Preset(
        description=description,
        settings={
            **_SETTINGS,
            "backbone": {"depth": depth, "dilation": dilation, "name": f"resnet{depth}"},
        },
        weights=HubFile(repository, "model.safetensors"),
        official_url=f"https://dl.fbaipublicfiles.com/detr/{file}",
        license="Apache-2.0",
        num_parameters=num_parameters,
        published={**dict(zip(_FIGURES, published, strict=True)), **_PROTOCOL},
    )


_FIGURES = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")


DETR_PRESETS = {
    "detr_r50": _preset(
        "DETR with ResNet-50, trained on COCO 2017",
        50,
        False,
        "facebook/detr-resnet-50",
        "detr-r50-e632da11.pth",
        41628181,
        (42.0, 62.4, 44.2, 20.5, 45.8, 61.1),
    ),
    "detr_r50_dc5": _preset(
        "DETR with ResNet-50 and a dilated last stage, trained on COCO 2017 without padding: "
        "evaluate one image at a time",
        50,
        True,
        "facebook/detr-resnet-50-dc5",
        "detr-r50-dc5-f0fb7ef5.pth",
        41628181,
        (43.3, 63.1, 45.9, 22.5, 47.3, 61.1),
    ),
    "detr_r101": _preset(
        "DETR with ResNet-101, trained on COCO 2017",
        101,
        False,
        "facebook/detr-resnet-101",
        "detr-r101-2c7b67e5.pth",
        60672533,
        (43.5, 63.8, 46.4, 21.9, 48.0, 61.8),
    ),
    "detr_r101_dc5": _preset(
        "DETR with ResNet-101 and a dilated last stage, trained on COCO 2017 without padding: "
        "evaluate one image at a time",
        101,
        True,
        "facebook/detr-resnet-101-dc5",
        "detr-r101-dc5-a2e86def.pth",
        60672533,
        (44.9, 64.7, 47.7, 23.7, 49.5, 62.3),
    ),
}


def detr_arguments(settings):
    """Return the constructor's arguments of a DETR.

    Args:
        settings: dict, from `checkpoints.detr_settings` or a preset.

    Returns:
        dict of arguments of `DETR`, a new backbone and neck among them.
    """
    positions = {"sine": SinePositionEmbedding, "learned": LearnedPositionEmbedding}
    arguments = {name: value for name, value in settings.items() if name != "class_rows"}
    hidden_dim = settings["hidden_dim"]
    embedding = positions[arguments.pop("position_embedding")](
        hidden_dim, name="position_embedding"
    )
    return {
        **arguments,
        "backbone": ResNetBackbone(**settings["backbone"]),
        "neck": SingleScaleNeck(hidden_dim, embedding, name="neck"),
    }
