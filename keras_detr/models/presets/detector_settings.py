"""Settings of detectors: those that published ones share, and the arguments that they stand for."""

from keras_detr.checkpoints import COCO_CATEGORY_IDS, COCO_CLASS_NAMES
from keras_detr.layers.learned_position_embedding import LearnedPositionEmbedding
from keras_detr.models.backbones.resnet_backbone import ResNetBackbone
from keras_detr.ops.printable_text import counted

COCO_SETTINGS = {
    "num_classes": len(COCO_CLASS_NAMES),
    "class_names": COCO_CLASS_NAMES,
    # The official head has a row for every category id up to 90.
    "class_rows": COCO_CATEGORY_IDS,
    "hidden_dim": 256,
    "num_heads": 8,
    "num_encoder_layers": 6,
    "num_decoder_layers": 6,
    "dropout": 0.1,
    "activation": "relu",
    "position_embedding": "sine",
}


# The settings that say how a checkpoint's class head is read, and are no arguments.
_OF_CHECKPOINTS = ("class_rows", "num_class_rows")

# The arguments with a value for each class.
_ONE_A_CLASS = ("class_names", "is_thing")


def resnet_settings(depth, dilation=False):
    """Return the settings of a published detector's backbone."""
    return {"depth": depth, "dilation": dilation, "name": f"resnet{depth}"}


def detector_arguments(settings, neck_class, **neck_arguments):
    """Return the constructor's arguments, a new backbone and neck among them.

    Args:
        settings: dict, from the detector's `checkpoint_settings` or a preset.
        neck_class: the neck's class, whose own default are sine embeddings.
        **neck_arguments: other arguments of the neck than its size and its embedding.
    """
    arguments = {name: value for name, value in settings.items() if name not in _OF_CHECKPOINTS}
    hidden_dim = settings["hidden_dim"]
    embedding = None
    if arguments.pop("position_embedding") == "learned":
        embedding = LearnedPositionEmbedding(hidden_dim, name="position_embedding")
    neck_arguments = {"position_embedding": embedding, **neck_arguments}
    neck = neck_class(hidden_dim, name="neck", **neck_arguments)
    return {**arguments, "backbone": ResNetBackbone(**settings["backbone"]), "neck": neck}


def in_precision(config, policy):
    """Return a detector's configuration, in the form that files hold, with another dtype policy.

    Variables of a mixed policy are float32, so the weights stay as they are. Of the parts that are
    saved with a policy, only backbone and neck may be of half precision: what decodes predictions
    is float32 under every policy.

    Args:
        config: dict.
        policy: str, the name of a dtype policy.
    """
    return {
        name: _with_policy(value, policy)
        if policy == "float32" or name in ("backbone", "neck")
        else value
        for name, value in config.items()
    }


def _with_policy(config, policy):
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {"name": policy}}
        return {name: _with_policy(value, policy) for name, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_with_policy(value, policy) for value in config)
    return config


def without_other_classes(config, arguments):
    """Return a configuration without what it says of other classes than it has.

    Args:
        config: dict of the constructor's arguments, the user's among them.
        arguments: dict of those that the user chose, which stay.

    Raises:
        ValueError: the user chose the names of classes alone, and of another number.
    """
    names = arguments.get("class_names")
    is_number_known = names is None or "num_classes" in arguments
    if not is_number_known and len(names) != config["num_classes"]:
        raise ValueError(
            f"`class_names` has {counted(len(names), 'name')} for the preset's "
            f"{config['num_classes']} classes. Pass `num_classes={len(names)}` too, for a new "
            "class head."
        )
    stale = {
        name: None
        for name in _ONE_A_CLASS
        if name not in arguments
        and config.get(name) is not None
        and len(config[name]) != config["num_classes"]
    }
    return {**config, **stale}
