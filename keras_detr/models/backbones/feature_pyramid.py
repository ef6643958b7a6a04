"""Read the feature pyramid of any KerasCV or KerasHub backbone."""

import collections
from typing import NamedTuple

import keras

# The name of what a stretch of the backbone hands to the next.
END = "end"


def pyramid_extractor(backbone):
    """Return a function from images to the backbone's feature maps.

    A function and not a layer, because it owns nothing: a model that tracks the backbone already
    mustn't meet the same layers a second time when it freezes or saves them.

    Args:
        backbone: a functional model with `pyramid_level_inputs` (KerasCV: level -> layer name) or
            `pyramid_outputs` (KerasHub: level -> symbolic tensor).

    Returns:
        pair of the function `(images, training=None)` -> dict of level name ("P3" has stride 8) to
        (batch, height / stride, width / stride, channels), and the dict of these shapes.

    Raises:
        ValueError: the backbone has neither attribute, or its maps have their channels first.
    """
    if getattr(backbone, "pyramid_outputs", None):
        outputs = dict(backbone.pyramid_outputs)
    elif getattr(backbone, "pyramid_level_inputs", None):
        outputs = {
            level: backbone.get_layer(name).output
            for level, name in backbone.pyramid_level_inputs.items()
        }
    else:
        raise ValueError(
            "`backbone` must have `pyramid_level_inputs` (KerasCV's and keras_detr's backbones) or "
            f"`pyramid_outputs` (KerasHub's). Received: {backbone!r} of type "
            f"{type(backbone).__name__}."
        )
    _check_channels_last(backbone)
    inputs = backbone.inputs[0] if len(backbone.inputs) == 1 else backbone.inputs
    stretches = _stretches(inputs, outputs)
    stretches[0].model.autocast = backbone.autocast

    def extract(images, training=None):
        pyramid, features = {}, images
        for model, names_of_end in stretches:
            pyramid.update(model(features, training=training))
            features = pyramid.pop(END, None)
            pyramid.update(dict.fromkeys(names_of_end, features))
        return pyramid

    return extract, {level: tuple(output.shape) for level, output in outputs.items()}


def _check_channels_last(backbone):
    for layer in backbone._flatten_layers():
        if getattr(layer, "data_format", None) == "channels_first":
            raise ValueError(
                "`backbone` must have its channels last. Received: a backbone whose layer "
                f"{layer.name!r} has `data_format='channels_first'`. Build it after "
                '`keras.config.set_image_data_format("channels_last")`, or with '
                '`data_format="channels_last"` where it takes that; its weights stay the same.'
            )


class _Stretch(NamedTuple):
    """Hold a part of a backbone, which begins where the part before ends.

    Attributes:
        model: `keras.Model` from the end of the part before to a dict: its own end, as `END`, and
            the outputs that it computes on the way.
        names_of_end: list of str, the outputs that its end is.
    """

    model: keras.Model
    names_of_end: list


def _stretches(inputs, outputs):
    """Divide a functional model wherever all goes through one tensor.

    A functional model holds all its maps until it is done, which is most of a detector's memory
    where no compiler sees to it (torch). A stretch holds its own, a residual block's.

    Args:
        inputs: symbolic tensor, or list of them.
        outputs: dict of name to symbolic tensor.

    Returns:
        list of `_Stretch`; of a single one if the model can't be divided.
    """
    whole = keras.Model(inputs, outputs, name="feature_extractor")
    stretches, start, missing = [], inputs, dict(outputs)
    try:
        for end, names in _bottlenecks(whole, outputs):
            found = {name: missing.pop(name) for name in names}
            names_of_end = [name for name in names if found[name] is end]
            on_the_way = {name: found[name] for name in names if name not in names_of_end}
            model = keras.Model(start, {**on_the_way, END: end}, name=f"part_{len(stretches)}")
            model.autocast = False
            stretches.append(_Stretch(model, names_of_end))
            start = end
    except ValueError:
        # A layer that is called twice: not all goes through its first result.
        return [_Stretch(whole, [])]
    return [_Stretch(whole, [])] if missing else stretches


def _bottlenecks(model, outputs):
    """Yield the tensors through which all goes, and the names of outputs computed before each."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    taken = [keras.tree.flatten(layer.input) for layer in layers]
    num_uses = collections.Counter(id(tensor) for tensors in taken for tensor in tensors)
    unused, made = {id(tensor) for tensor in model.inputs}, set()
    for layer, tensors in zip(layers, taken, strict=True):
        for tensor in tensors:
            num_uses[id(tensor)] -= 1
            if not num_uses[id(tensor)]:
                unused.discard(id(tensor))
        results = keras.tree.flatten(layer.output)
        unused.update(map(id, results))
        made.update(map(id, results))
        if len(results) == 1 and unused == {id(results[0])}:
            yield results[0], [name for name, output in outputs.items() if id(output) in made]
            made = set()
