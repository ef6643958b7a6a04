"""What a model's inputs carry along, through Keras' trainers, to `call`."""

import numpy as np

# No entry of a user's batch has these names.
TARGETS_ENTRY = "keras_detr_targets"
THRESHOLD_ENTRY = "keras_detr_confidence_threshold"
WEIGHTS_ENTRY = "keras_detr_image_weights"
_INPUTS = ("images", "pixel_mask", THRESHOLD_ENTRY, WEIGHTS_ENTRY)


def with_targets(inputs, targets):
    """Return inputs as a dict that carries targets along."""
    inputs = inputs if isinstance(inputs, dict) else {"images": inputs}
    return {**inputs, TARGETS_ENTRY: targets}


def with_threshold(inputs, confidence_threshold):
    """Return a dict of inputs that carries a threshold along, one for each image."""
    thresholds = np.full(len(inputs["images"]), confidence_threshold, "float32")
    return {**inputs, THRESHOLD_ENTRY: thresholds}


def with_image_weights(inputs, weights):
    """Return inputs as a dict that carries along which images count: float32 (batch,), 1 or 0."""
    inputs = inputs if isinstance(inputs, dict) else {"images": inputs}
    return {**inputs, WEIGHTS_ENTRY: weights}


def image_weights(inputs):
    """Return the weights that inputs carry along, or `None`: all images count."""
    return inputs.get(WEIGHTS_ENTRY) if isinstance(inputs, dict) else None


def split_targets(inputs, targets=None):
    """Return inputs without the targets that they carry along, and these or else `targets`."""
    if isinstance(inputs, dict) and TARGETS_ENTRY in inputs:
        targets = inputs[TARGETS_ENTRY]
        inputs = {name: inputs[name] for name in inputs if name != TARGETS_ENTRY}
    return inputs, targets


def without_extra_entries(inputs):
    """Return a model's inputs as they are, and of a dict with images only what a model reads."""
    if not isinstance(inputs, dict) or "images" not in inputs:
        return inputs
    return {name: inputs[name] for name in _INPUTS if inputs.get(name) is not None}
