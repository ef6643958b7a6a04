"""Which layers of a model are frozen, as a part of its configuration."""

from keras_detr.ops.keras_internals import flatten_layers


def frozen_paths(model):
    """Return the places of the topmost layers that are frozen inside of a trainable parent.

    A place is a str, the names of nested layers joined by "/".
    """
    return [path for path, layer in _walk(model) if not layer.trainable]


def apply_frozen_paths(model, paths):
    """Freeze the layers at places from `frozen_paths`; an unknown one is a ValueError."""
    remaining = set(paths)
    for path, layer in list(_walk(model, only_trainable_parents=False)):
        if path in remaining:
            # One by one: a functional model that was built frozen hasn't frozen its layers, and
            # assigning the value that it already has changes nothing.
            for part in flatten_layers(layer):
                part.trainable = False
            remaining.discard(path)
    if remaining:
        raise ValueError(f"`frozen` names layers that the model doesn't have: {sorted(remaining)}.")


def _walk(layer, prefix="", only_trainable_parents=True):
    """Yield (path, layer) of all layers below, parents first."""
    for child in flatten_layers(layer, include_self=False, recursive=False):
        path = f"{prefix}{child.name}"
        yield path, child
        if child.trainable or not only_trainable_parents:
            yield from _walk(child, f"{path}/", only_trainable_parents)
