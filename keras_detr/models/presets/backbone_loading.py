"""Build a backbone from a preset: a registered name or a saved folder."""

from keras_detr.checkpoints import fetch, read_tensors, to_canonical_names
from keras_detr.models.presets.checkpoint_variables import fill_variables
from keras_detr.models.presets.saved_preset import (
    described,
    load_saved_weights,
    read_saved_config,
    rebuild,
)

NO_REVISION = (
    "`revision` must be left out for a local folder, and beside `weights`: it names a branch, tag "
    "or commit of the Hub's repository that the weights come from."
)


def load_backbone(cls, preset, weights, load_weights, revision, arguments):
    """Build a backbone from a preset and fill it; see `ResNetBackbone.from_preset`."""
    saved = read_saved_config(preset)
    if revision is not None and (weights is not None or preset not in cls.presets):
        raise ValueError(f"{NO_REVISION} Received: {revision!r} for {described(preset)}.")
    if saved is not None:
        backbone = rebuild(cls, preset, saved, arguments)
        if weights is None and load_weights:
            load_saved_weights(backbone, preset)
    elif preset in cls.presets:
        backbone = cls(**{"name": preset, **cls.presets[preset].settings, **arguments})
        if weights is None and load_weights:
            weights = fetch(cls.presets[preset].weights_at(revision))
    else:
        raise ValueError(
            f"`preset` must be one of {list(cls.presets)} or a folder with a saved preset. "
            f"Received: {described(preset)}."
        )
    if weights is not None:
        tensors = to_canonical_names(read_tensors(weights), cls.checkpoint_table).tensors
        fill_variables(backbone.checkpoint_variables(), tensors, str(weights))
    return backbone
