"""Read the feature pyramid of any KerasCV or KerasHub backbone."""

import keras


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
        ValueError: the backbone has neither attribute.
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
    inputs = backbone.inputs[0] if len(backbone.inputs) == 1 else backbone.inputs
    extractor = keras.Model(inputs, outputs, name="feature_extractor")
    extractor.autocast = backbone.autocast

    def extract(images, training=None):
        return extractor(images, training=training)

    return extract, {level: tuple(output.shape) for level, output in outputs.items()}
