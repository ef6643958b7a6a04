"""Read the feature pyramid of any KerasCV or KerasHub backbone."""

import collections

import keras

from keras_detr.ops.keras_internals import flatten_layers

# The name of the output that the next segment of the backbone takes.
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
    segments = _segments(inputs, outputs)
    first, _ = segments[0]
    first.autocast = backbone.autocast

    def extract(images, training=None):
        pyramid, features = {}, images
        for model, end_names in segments:
            pyramid.update(model(features, training=training))
            features = pyramid.pop(END, None)
            pyramid.update(dict.fromkeys(end_names, features))
        return pyramid

    return extract, {level: tuple(output.shape) for level, output in outputs.items()}


def _check_channels_last(backbone):
    for layer in flatten_layers(backbone):
        if getattr(layer, "data_format", None) == "channels_first":
            raise ValueError(
                "`backbone` must have its channels last. Received: a backbone whose layer "
                f"{layer.name!r} has `data_format='channels_first'`. Build it after "
                '`keras.config.set_image_data_format("channels_last")`, or with '
                '`data_format="channels_last"` where it takes that; its weights stay the same.'
            )


def _segments(inputs, outputs):
    """Divide a functional model at every tensor through which everything passes, if there are any.

    A functional model keeps all its maps until it is done, which is most of a detector's memory
    if no compiler frees them (torch). A segment keeps those of one residual block.

    Returns:
        list of pairs: a `keras.Model` from the last tensor of the segment before to a dict of its
        own last tensor, as `END`, and of the outputs that it computes before that; and the names
        of the outputs that its last tensor is.
    """
    whole = keras.Model(inputs, outputs, name="feature_extractor")
    segments, start, missing = [], inputs, dict(outputs)
    try:
        for end, names in _bottlenecks(whole, outputs):
            found = {name: missing.pop(name) for name in names}
            end_names = [name for name in names if found[name] is end]
            others = {name: found[name] for name in names if name not in end_names}
            model = keras.Model(start, {**others, END: end}, name=f"part_{len(segments)}")
            model.autocast = False
            segments.append((model, end_names))
            start = end
    except ValueError:
        # A layer is called twice, so that not everything passes through its first result.
        return [(whole, [])]
    return [(whole, [])] if missing else segments


def _bottlenecks(model, outputs):
    """Yield tensors through which everything passes, each with the outputs computed before it."""
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
