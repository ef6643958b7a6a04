"""Translate the backbone in the config.json of a detector on the Hub.

Source: transformers models/resnet/configuration_resnet.py and models/timm_backbone, whose defaults
stand in for absent keys; written by versions 4 and 5.
"""

import re

from .fields import check, check_type, count, items

# Name: block type, blocks of each stage, channels of each stage. The stem has 64 channels.
_RESNETS = {
    "resnet18": ("basic", (2, 2, 2, 2), (64, 128, 256, 512)),
    "resnet34": ("basic", (3, 4, 6, 3), (64, 128, 256, 512)),
    "resnet50": ("bottleneck", (3, 4, 6, 3), (256, 512, 1024, 2048)),
    "resnet101": ("bottleneck", (3, 4, 23, 3), (256, 512, 1024, 2048)),
}
_STEM_CHANNELS = 64
_RESNET_NAME = re.compile(r"(?:timm/|microsoft/)?resnet-?(\d+)(?:\.\w+)?")
_LAST_STAGE = 4
_STAGES = {f"{word}{i}": i for word in ("stage", "layer") for i in range(1, _LAST_STAGE + 1)}


def backbone_settings(config):
    """Translate the backbone of a Hub config.

    Args:
        config: dict, the parsed config.json.

    Returns:
        dict with the keys "backbone", "backbone_block_type", "backbone_depths",
        "backbone_hidden_sizes", "backbone_embedding_size" and "dilation" of `detr_settings`.

    Raises:
        ValueError: the config describes a backbone that this package doesn't build.
    """
    field, backbone = _description(config)
    if field == "backbone_kwargs":
        is_dilated = _is_dilated(field, backbone) or bool(config.get("dilation"))
        if is_dilated and not _is_of_timm(config):
            _refuse_unused_dilation()
        return {**_named_resnet("backbone", config.get("backbone") or "resnet50")} | {
            "dilation": is_dilated
        }
    check("backbone_config.model_type", backbone.get("model_type"), ("resnet", "timm_backbone"))
    check("backbone_config.num_channels", backbone.get("num_channels", 3), (3,))
    is_dilated = False
    if backbone["model_type"] == "resnet":
        settings = _described_resnet(backbone)
    else:
        settings = _named_resnet("backbone_config.backbone", backbone.get("backbone"))
        is_dilated = _is_dilated("backbone_config", backbone)
    if config.get("dilation") and not is_dilated:
        _refuse_unused_dilation()
    return {**settings, "dilation": is_dilated}


def stages_handed_out(config, default):
    """Return which stages of the backbone a Hub config hands to the rest of the model.

    Args:
        config: dict, the parsed config.json.
        default: tuple of int, what the detector asks of timm where the config doesn't say.

    Returns:
        str, the field that says so, and tuple of int, the stages from 1 to 4, 0 for the stem.
        A name that isn't a stage's stays as it is.
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
    is_asked = field == "backbone_kwargs" and _is_of_timm(config)
    return f"{field}.out_indices", default if is_asked else (_LAST_STAGE,)


def _description(config):
    """Return the field that describes the backbone, and the dict in it."""
    if config.get("backbone_config") is not None:
        field, described = "backbone_config", config["backbone_config"]
    else:
        # The way of transformers 4: a name, and extra arguments for timm.
        field, described = "backbone_kwargs", config.get("backbone_kwargs") or {}
    return field, check_type(field, described, dict, "a JSON object")


def _is_of_timm(config):
    """Tell whether a backbone that is given by name comes from timm."""
    return bool(config.get("use_timm_backbone", True))


def _refuse_unused_dilation():
    """Refuse a config whose `dilation` transformers itself ignores: which one is meant?"""
    raise ValueError(
        "`dilation` of the Hub config is true, but transformers dilates only a backbone of timm "
        "with output_stride 16. Set `dilation` to false for what transformers computes, or "
        "`backbone_config` to null and `backbone` to a name for the dilated model."
    )


def _is_dilated(field, backbone):
    """Tell whether timm dilates the last stage."""
    stride = backbone.get("output_stride")
    check(f"{field}.output_stride", stride, (None, 32, 16))
    return stride == 16


def _named_resnet(field, name):
    """Return the keys of a ResNet that is given by name, with or without timm's weight tag."""
    match = _RESNET_NAME.fullmatch(str(name))
    known = f"resnet{match[1]}" if match else str(name)
    if known not in _RESNETS:
        raise ValueError(
            f"`{field}` of the Hub config must be one of {', '.join(_RESNETS)}. Received: {name!r}."
        )
    return _resnet_settings(*_RESNETS[known], _STEM_CHANNELS)


def _described_resnet(backbone):
    """Return the keys of a ResNet that is given by transformers' ResNetConfig."""
    for field in ("downsample_in_bottleneck", "downsample_in_first_stage"):
        check(f"backbone_config.{field}", backbone.get(field, False), (False,))
    check("backbone_config.hidden_act", backbone.get("hidden_act", "relu"), ("relu",))
    block_type = backbone.get("layer_type", "bottleneck")
    check("backbone_config.layer_type", block_type, ("basic", "bottleneck"))
    depths = items(backbone, "backbone_config.depths", (3, 4, 6, 3), int, "ints")
    default = (256, 512, 1024, 2048)
    hidden_sizes = items(backbone, "backbone_config.hidden_sizes", default, int, "ints")
    if len(depths) != 4 or len(hidden_sizes) != 4:
        raise ValueError(
            "`backbone_config.depths` and `backbone_config.hidden_sizes` of the Hub config must "
            f"have 4 stages. Received: {depths} and {hidden_sizes}."
        )
    stem = count(backbone, "embedding_size", _STEM_CHANNELS)
    return _resnet_settings(block_type, depths, hidden_sizes, stem)


def _resnet_settings(block_type, depths, hidden_sizes, stem):
    """Return the keys of a ResNet, with its name where it has one."""
    described = (block_type, depths, hidden_sizes)
    name = next((name for name, resnet in _RESNETS.items() if resnet == described), None)
    return {
        "backbone": name if stem == _STEM_CHANNELS else None,
        "backbone_block_type": block_type,
        "backbone_depths": depths,
        "backbone_hidden_sizes": hidden_sizes,
        "backbone_embedding_size": stem,
    }
