"""Translate the backbone in the config.json of a detector on the Hub.

Source: transformers models/resnet/configuration_resnet.py and models/timm_backbone, versions 4
and 5, whose defaults replace missing keys.
"""

import re

from ..counts import MOST_CHANNELS, check_counts
from .fields import OF_CONFIG, check, check_type, count, items

# Depth: block type, blocks of each stage, output channels of the stem and of each stage.
_RESNETS = {
    18: ("basic", (2, 2, 2, 2), 64, (64, 128, 256, 512)),
    34: ("basic", (3, 4, 6, 3), 64, (64, 128, 256, 512)),
    50: ("bottleneck", (3, 4, 6, 3), 64, (256, 512, 1024, 2048)),
    101: ("bottleneck", (3, 4, 23, 3), 64, (256, 512, 1024, 2048)),
}
# Block type: a depth that has it, and how many times its width it puts out.
_BLOCK_TYPES = {"basic": (18, 1), "bottleneck": (50, 4)}
_RESNET_NAME = re.compile(r"(?:timm/|microsoft/)?resnet-?(18|34|50|101)(?:\.\w+)?")
_LAST_STAGE = 4
_MOST_BLOCKS = 1000
_STAGES = {f"{word}{i}": i for word in ("stage", "layer") for i in range(1, _LAST_STAGE + 1)}


def backbone_settings(config):
    """Return the arguments of `ResNetBackbone` that a config stands for."""
    field, backbone = _description(config)
    is_dilated = False
    if field == "backbone_kwargs":
        settings = _named_resnet("backbone", config.get("backbone") or "resnet50")
        is_dilated = _is_dilated(field, backbone) or bool(config.get("dilation"))
        is_dilation_ignored = is_dilated and not _is_from_timm(config)
    else:
        model_type = backbone.get("model_type")
        check("backbone_config.model_type", model_type, ("resnet", "timm_backbone"))
        check("backbone_config.num_channels", backbone.get("num_channels", 3), (3,))
        if model_type == "resnet":
            settings = _described_resnet(backbone)
        else:
            settings = _named_resnet("backbone_config.backbone", backbone.get("backbone"))
            is_dilated = _is_dilated(field, backbone)
        is_dilation_ignored = config.get("dilation") and not is_dilated
    if is_dilation_ignored:
        raise ValueError(
            "`dilation` of the Hub config is true, but transformers dilates only a backbone of "
            "timm with output_stride 16. Set `dilation` to false for what transformers computes, "
            "or `backbone_config` to null and `backbone` to a name for the dilated model."
        )
    return {**settings, "dilation": is_dilated}


def stages_read(config, default):
    """Return which stages of the backbone the model reads, after the field that says so.

    Stages are numbered from 1 to 4, and 0 is the stem; a name that isn't a stage's is returned
    unchanged. `default` holds those that are read from a backbone of timm by default.
    """
    field, described = _description(config)
    if described.get("out_indices"):
        # Counted from the stem, or from behind.
        indices = items(described, f"{field}.out_indices", (), int, "ints")
        stages = (i + _LAST_STAGE + 1 if i < 0 else i for i in indices)
        return f"{field}.out_indices", tuple(stages)
    if described.get("out_features"):
        features = items(described, f"{field}.out_features", (), str, "names")
        return f"{field}.out_features", tuple(_STAGES.get(name, name) for name in features)
    is_timm_asked = field == "backbone_kwargs" and _is_from_timm(config)
    return f"{field}.out_indices", default if is_timm_asked else (_LAST_STAGE,)


def _description(config):
    """Return the field that describes the backbone, and the dict in it."""
    if config.get("backbone_config") is not None:
        field, described = "backbone_config", config["backbone_config"]
    else:
        # The way of transformers 4: a name, and extra arguments for timm.
        field, described = "backbone_kwargs", config.get("backbone_kwargs") or {}
    return field, check_type(field, described, dict, "a JSON object")


def _is_from_timm(config):
    """Return whether a backbone that is given by name comes from timm."""
    return bool(config.get("use_timm_backbone", True))


def _is_dilated(field, backbone):
    """Return whether timm dilates the last stage."""
    stride = backbone.get("output_stride")
    check(f"{field}.output_stride", stride, (None, 32, 16))
    return stride == 16


def _named_resnet(field, name):
    """Return the arguments of a ResNet that is given by name, with or without timm's weight tag."""
    match = _RESNET_NAME.fullmatch(str(name))
    if not match:
        known = ", ".join(f"resnet{depth}" for depth in _RESNETS)
        raise ValueError(f"`{field}` of the Hub config must be one of {known}. Received: {name!r}.")
    return {"depth": int(match[1]), "name": f"resnet{match[1]}"}


def _described_resnet(backbone):
    """Return the arguments of a ResNet that is given by transformers' ResNetConfig."""
    for field in ("downsample_in_bottleneck", "downsample_in_first_stage"):
        check(f"backbone_config.{field}", backbone.get(field, False), (False,))
    check("backbone_config.hidden_act", backbone.get("hidden_act", "relu"), ("relu",))
    block_type = backbone.get("layer_type", "bottleneck")
    check("backbone_config.layer_type", block_type, tuple(_BLOCK_TYPES))
    _, blocks, stem, channels = _RESNETS[50]
    blocks = items(backbone, "backbone_config.depths", blocks, int, "ints")
    channels = items(backbone, "backbone_config.hidden_sizes", channels, int, "ints")
    if len(blocks) != 4 or len(channels) != 4:
        raise ValueError(
            "`backbone_config.depths` and `backbone_config.hidden_sizes` of the Hub config must "
            f"have 4 stages. Received: {blocks} and {channels}."
        )
    block, expansion = _BLOCK_TYPES[block_type]
    check_counts(_MOST_BLOCKS, of=OF_CONFIG, **{"backbone_config.depths": blocks})
    check_counts(MOST_CHANNELS, of=OF_CONFIG, **{"backbone_config.hidden_sizes": channels})
    for size in channels:
        if size % expansion:
            raise ValueError(
                "`backbone_config.hidden_sizes` of the Hub config must be multiples of "
                f"{expansion}, as {block_type} blocks widen their maps so many times. Received: "
                f"{channels}."
            )
    stem = count(backbone, "backbone_config.embedding_size", stem, MOST_CHANNELS)
    for depth, resnet in _RESNETS.items():
        if resnet == (block_type, blocks, stem, channels):
            return {"depth": depth, "name": f"resnet{depth}"}
    return {
        "depth": block,
        "stackwise_num_blocks": blocks,
        "stackwise_num_filters": tuple(size // expansion for size in channels),
        "stem_num_filters": stem,
        "name": "resnet",
    }


def backbone_config(settings, stages):
    """Return the `backbone_config` of a detector: the way back from `backbone_settings`.

    Args:
        settings: dict of arguments of `ResNetBackbone`; others than those of its size are ignored.
        stages: sequence of int, the stages that the detector reads.
    """
    depth = settings["depth"]
    block_type, blocks, _, _ = _RESNETS[depth]
    _, expansion = _BLOCK_TYPES[block_type]
    return {
        "model_type": "resnet",
        "num_channels": 3,
        "layer_type": block_type,
        "depths": list(settings["stackwise_num_blocks"] or blocks),
        "hidden_sizes": [size * expansion for size in settings["stackwise_num_filters"]],
        "embedding_size": settings["stem_num_filters"],
        "hidden_act": "relu",
        "out_features": [f"stage{stage}" for stage in stages],
    }
