"""Translate the config.json of a DETR on the Hub into this package's settings.

Source: transformers models/detr/configuration_detr.py, models/resnet/configuration_resnet.py and
models/timm_backbone, whose defaults stand in for absent keys; written by versions 4 and 5.
"""

import re
from typing import Any

# Name: block type, blocks of each stage, channels of each stage. The stem has 64 channels.
_RESNETS = {
    "resnet18": ("basic", (2, 2, 2, 2), (64, 128, 256, 512)),
    "resnet34": ("basic", (3, 4, 6, 3), (64, 128, 256, 512)),
    "resnet50": ("bottleneck", (3, 4, 6, 3), (256, 512, 1024, 2048)),
    "resnet101": ("bottleneck", (3, 4, 23, 3), (256, 512, 1024, 2048)),
}
_STEM_CHANNELS = 64
_RESNET_NAME = re.compile(r"(?:timm/|microsoft/)?resnet-?(\d+)(?:\.\w+)?")
_UNUSED_LABEL = "N/A"
_ACTIVATIONS = ("relu", "gelu", "silu")


def detr_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Translate the config.json of a Hub repository with a DETR.

    Args:
        config: dict, the parsed config.json, of model_type "detr".

    Returns:
        dict of plain values:
            "backbone": str, "resnet18", "resnet34", "resnet50" or "resnet101"; None for another
                ResNet, which the four keys "backbone_*" describe.
            "backbone_block_type": str, "basic" or "bottleneck".
            "backbone_depths", "backbone_hidden_sizes": tuples of 4 ints, blocks and output
                channels of each stage.
            "backbone_embedding_size": int, channels of the stem.
            "dilation": bool, whether the last stage is dilated instead of strided (DC5).
            "num_classes": int, the classes in use.
            "class_names": tuple of str, their names.
            "kept_class_rows": tuple of int, their rows in the class head, ascending. Rows labelled
                "N/A" are left out; the no-object row comes after all rows and isn't counted.
            "num_queries", "hidden_dim", "num_heads", "num_encoder_layers", "num_decoder_layers",
                "feed_forward_dim": int.
            "dropout": float.
            "activation": str, "relu", "gelu" or "silu".
            "position_embedding": str, "sine" or "learned".

    Raises:
        ValueError: the config describes a model that this package doesn't build. The message
            names the field.
    """
    _check("model_type", config.get("model_type"), ("detr",))
    _check("num_channels", config.get("num_channels", 3), (3,))
    position_embedding = config.get("position_embedding_type", "sine")
    _check("position_embedding_type", position_embedding, ("sine", "learned"))
    activation = config.get("activation_function", "relu")
    _check("activation_function", activation, _ACTIVATIONS)
    rows, names = _classes_in_use(config)
    return {
        **_backbone_settings(config),
        "num_classes": len(rows),
        "class_names": names,
        "kept_class_rows": rows,
        "num_queries": _count(config, "num_queries", 100),
        "hidden_dim": _count(config, "d_model", 256),
        "num_heads": _shared_count(config, "attention_heads", 8),
        "num_encoder_layers": _count(config, "encoder_layers", 6),
        "num_decoder_layers": _count(config, "decoder_layers", 6),
        "feed_forward_dim": _shared_count(config, "ffn_dim", 2048),
        "dropout": float(config.get("dropout", 0.1)),
        "activation": activation,
        "position_embedding": position_embedding,
    }


def _check(field, value, supported):
    """Refuse a value that isn't supported, naming its field."""
    if value not in supported:
        expected = " or ".join(repr(choice) for choice in supported)
        raise ValueError(f"`{field}` of the Hub config must be {expected}. Received: {value!r}.")


def _count(config, field, default):
    """Return a positive integer of the config."""
    value = config.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"`{field}` of the Hub config must be an int above 0. Received: {value!r}."
        )
    return value


def _shared_count(config, field, default):
    """Return a number that the encoder and the decoder must have in common."""
    encoder = _count(config, f"encoder_{field}", default)
    decoder = _count(config, f"decoder_{field}", default)
    if encoder != decoder:
        raise ValueError(
            f"`encoder_{field}` and `decoder_{field}` of the Hub config must be equal. "
            f"Received: {encoder} and {decoder}."
        )
    return encoder


def _classes_in_use(config):
    """Return the rows of the class head that are in use, and their names.

    transformers leaves `id2label` out of the file where there are two classes without names.
    """
    labels = config.get("id2label")
    if labels is None:
        labels = {i: f"LABEL_{i}" for i in range(_count(config, "num_labels", 2))}
    try:
        by_row = dict(sorted((int(row), str(label)) for row, label in labels.items()))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"`id2label` of the Hub config must map class ids to names. Received: {labels!r:.80}."
        ) from error
    if list(by_row) != list(range(len(labels))):
        raise ValueError(
            "`id2label` of the Hub config must number its classes 0, 1, 2, ..., one for each row "
            f"of the class head. Received the ids: {list(by_row)!s:.80}."
        )
    rows = tuple(row for row, label in by_row.items() if label != _UNUSED_LABEL)
    if not rows:
        raise ValueError(
            f"`id2label` of the Hub config names no class in use. Received: {labels!r:.80}."
        )
    return rows, tuple(by_row[row] for row in rows)


def _backbone_settings(config):
    """Return the keys of the backbone."""
    backbone = config.get("backbone_config")
    if backbone is None:
        # The way of transformers 4: a name, and extra arguments for timm.
        arguments = config.get("backbone_kwargs") or {}
        _check_last_stage("backbone_kwargs", arguments)
        is_dilated = _is_dilated("backbone_kwargs", arguments) or bool(config.get("dilation"))
        if is_dilated and not config.get("use_timm_backbone", True):
            _refuse_unused_dilation()
        return {**_named_resnet("backbone", config.get("backbone") or "resnet50")} | {
            "dilation": is_dilated
        }
    _check("backbone_config.model_type", backbone.get("model_type"), ("resnet", "timm_backbone"))
    _check("backbone_config.num_channels", backbone.get("num_channels", 3), (3,))
    _check_last_stage("backbone_config", backbone)
    is_dilated = False
    if backbone["model_type"] == "resnet":
        settings = _described_resnet(backbone)
    else:
        settings = _named_resnet("backbone_config.backbone", backbone.get("backbone"))
        is_dilated = _is_dilated("backbone_config", backbone)
    if config.get("dilation") and not is_dilated:
        _refuse_unused_dilation()
    return {**settings, "dilation": is_dilated}


def _refuse_unused_dilation():
    """Refuse a config whose `dilation` transformers itself ignores: which one is meant?"""
    raise ValueError(
        "`dilation` of the Hub config is true, but transformers dilates only a backbone of timm "
        "with output_stride 16. Set `dilation` to false for what transformers computes, or "
        "`backbone_config` to null and `backbone` to a name for the dilated model."
    )


def _check_last_stage(field, backbone):
    """Refuse a backbone that hands out another stage than the last."""
    indices = backbone.get("out_indices") or [4]
    features = backbone.get("out_features") or ["stage4"]
    _check(f"{field}.out_indices[-1]", indices[-1], (4, -1))
    _check(f"{field}.out_features[-1]", features[-1], ("stage4", "layer4"))


def _is_dilated(field, backbone):
    """Tell whether timm dilates the last stage."""
    stride = backbone.get("output_stride")
    _check(f"{field}.output_stride", stride, (None, 32, 16))
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
        _check(f"backbone_config.{field}", backbone.get(field, False), (False,))
    _check("backbone_config.hidden_act", backbone.get("hidden_act", "relu"), ("relu",))
    block_type = backbone.get("layer_type", "bottleneck")
    _check("backbone_config.layer_type", block_type, ("basic", "bottleneck"))
    depths = tuple(backbone.get("depths", (3, 4, 6, 3)))
    hidden_sizes = tuple(backbone.get("hidden_sizes", (256, 512, 1024, 2048)))
    if len(depths) != 4 or len(hidden_sizes) != 4:
        raise ValueError(
            "`backbone_config.depths` and `backbone_config.hidden_sizes` of the Hub config must "
            f"have 4 stages. Received: {depths} and {hidden_sizes}."
        )
    stem = _count(backbone, "embedding_size", _STEM_CHANNELS)
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
