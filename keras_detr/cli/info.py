"""Describe a model: its classes, sizes and parameters."""

from keras_detr.cli.arguments import add_weights, settings_of_load
from keras_detr.models import load


def add_arguments(parser):
    """Add the arguments of `keras-detr info`."""
    parser.add_argument("model", help="a .keras file, a folder, a preset or hf://owner/name")
    add_weights(parser)


def run(arguments):
    """Print the description."""
    model = load(arguments.model, **settings_of_load(arguments))
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
