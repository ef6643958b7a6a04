"""What several commands have in common: arguments, and reading them from a file."""

import argparse
import pathlib

from keras_detr.cli.json_files import read_json

# Fractions of the image don't change when it is resized or padded.
FORMAT = {"bounding_box_format": "rel_xyxy"}
PAPER_SIZES = (800, 1333)
# Arguments that say where things are, not what is computed.
PLACES = ("data", "output", "resume", "config", "debug", "tensorboard")


def add_model(parser, **settings):
    """Add the argument for a model, and for weights from another file."""
    parser.add_argument("--model", default="detr_r50", help="(%(default)s)", **settings)
    add_weights(parser)


def add_weights(parser):
    """Add the argument for weights from another file."""
    parser.add_argument("--weights", metavar="FILE", help="with official or Hub names, of a preset")


def add_short_side(parser):
    """Add the argument for the size that images are resized to."""
    parser.add_argument("--short-side", type=int, help="pixels; default: as the model says")


def settings_of_load(arguments):
    """Return what `keras_detr.load` takes besides the model."""
    return {} if arguments.weights is None else {"weights": arguments.weights}


def sizes_of(model, short_side=None):
    """Return the short side and the limit of the long one, or None, that images are resized to.

    They are the model's, the paper's for one without a preprocessor, or scaled to `short_side`.
    """
    side, longest_side = model.preprocessor_sizes or PAPER_SIZES
    if short_side is None:
        return side, longest_side
    return short_side, longest_side and round(short_side * longest_side / side)


def read_config(arguments, add_arguments):
    """Return arguments completed by a file: those that were given count more.

    Args:
        arguments: `argparse.Namespace` with `config` and `resume`.
        add_arguments: function that adds the command's arguments to a parser, to find out which
            were left at their defaults.

    Raises:
        ValueError: the file can't be used, or there is no data.
    """
    if arguments.resume:
        arguments.output = arguments.resume
        arguments.config = pathlib.Path(arguments.resume) / "config.json"
    if arguments.config:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        defaults = vars(parser.parse_args([]))
        for name, value in read_json(arguments.config).items():
            if name not in defaults:
                raise ValueError(f"{arguments.config}: there is no argument {name!r}.")
            if getattr(arguments, name) == defaults[name]:
                setattr(arguments, name, value)
    if not arguments.data:
        raise ValueError("Pass the folder of images and annotations, or --config or --resume.")
    return arguments
