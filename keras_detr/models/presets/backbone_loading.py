"""Build a backbone from a preset: a registered name, or a saved folder here or on the Hub."""

from keras_detr.checkpoints import read_tensors, to_canonical_names
from keras_detr.checkpoints.hub.folder import fetch_weights, pinned
from keras_detr.models.presets.checkpoint_variables import fill_variables
from keras_detr.models.presets.saved_preset import (
    described,
    load_saved_weights,
    read_saved_config,
    rebuild,
)
from keras_detr.ops.printable_text import did_you_mean

NO_REVISION = (
    "`revision` must be left out for a local folder, and beside `weights`: it names a branch, tag "
    "or commit of the Hub's repository that the weights come from."
)


def at_revision(preset, revision):
    """Return a preset's name; where it is a repository of the Hub, with the commit meant.

    Args:
        preset: str or path.
        revision: str or `None`, a branch, tag or commit.
    """
    if revision is not None and str(preset).startswith("hf://"):
        if "@" in str(preset):
            raise ValueError(
                f"`revision` must be left out for {str(preset)!r}, which has one already."
            )
        preset = f"{preset}@{revision}"
    return pinned(preset)


def load_backbone(cls, preset, weights, load_weights, revision, arguments):
    """Build a backbone from a preset and fill it; see `ResNetBackbone.from_preset`."""
    preset = at_revision(preset, revision)
    saved = read_saved_config(preset)
    is_on_hub = preset in cls.presets or str(preset).startswith("hf://")
    if revision is not None and (weights is not None or not is_on_hub):
        raise ValueError(f"{NO_REVISION} Received: {revision!r} for {described(preset)}.")
    if saved is not None:
        backbone = rebuild(cls, preset, saved, arguments)
        if weights is None and load_weights:
            load_saved_weights(backbone, preset)
    elif preset in cls.presets:
        backbone = cls(**{"name": preset, **cls.presets[preset].settings, **arguments})
        if weights is not None:
            cls.presets[preset].check_official_file(weights)
        elif load_weights:
            weights = fetch_weights(cls.presets[preset].weights_at(revision))
    else:
        raise ValueError(
            f"`preset` must be one of {list(cls.presets)}, or a folder or 'hf://owner/name' with a "
            f"saved preset. Received: {described(preset)}.{did_you_mean(preset, cls.presets)}"
        )
    if weights is not None:
        tensors = to_canonical_names(read_tensors(weights), cls.checkpoint_table).tensors
        fill_variables(backbone.checkpoint_variables(), tensors, str(weights))
    return backbone
