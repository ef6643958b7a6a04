"""What a model's inputs carry along, through Keras' trainers, to `call`."""

import numpy as np

# No entry of a user's batch has these names.
TARGETS_ENTRY = "keras_detr_targets"
THRESHOLD_ENTRY = "keras_detr_confidence_threshold"
_INPUTS = ("images", "pixel_mask", THRESHOLD_ENTRY)


def with_targets(inputs, targets):
    """Return inputs as a dict that carries targets along."""
    inputs = inputs if isinstance(inputs, dict) else {"images": inputs}
    return {**inputs, TARGETS_ENTRY: targets}


def with_threshold(inputs, confidence_threshold):
    """Return a dict of inputs that carries a threshold along, one for each image."""
    thresholds = np.full(len(inputs["images"]), confidence_threshold, "float32")
    return {**inputs, THRESHOLD_ENTRY: thresholds}


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
