"""Describe a model: `keras-detr info`."""

import pathlib

from keras_detr.models import load


def run(arguments):
    """Print the description."""
    # What is told doesn't depend on the weights, and those of a preset would be downloaded.
    is_file = pathlib.Path(arguments.model).suffix == ".keras"
    model = load(arguments.model, **({} if is_file else {"load_weights": False}))
    names = model.class_names or [f"class {label}" for label in range(model.num_classes)]
    print(f"{type(model).__name__}, {model.count_params():,} parameters")
    print(
        f"backbone: {type(model.backbone).__name__}, {model.backbone.count_params():,} parameters"
    )
    print(f"images: {_resizing(model.preprocessor_sizes)}")
    print(f"objects: at most {model.num_queries} an image, boxes in {model.bounding_box_format!r}")
    print(f"{model.num_classes} classes: {', '.join(names)}")


def _resizing(sizes):
    if sizes is None:
        return "not resized"
    short_side, longest_side = sizes
    limit = "of any length" if longest_side is None else f"at most {longest_side} pixels"
    return f"short side {short_side}, long side {limit}"
