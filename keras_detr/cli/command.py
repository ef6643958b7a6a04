"""`keras-detr`: train, predict, evaluate, export and describe detectors from a terminal."""

import argparse
import importlib.metadata
import logging
import os
import pathlib
import re
import sys

from keras_detr import cli
from keras_detr.cli.arguments import COMMANDS, add_command
from keras_detr.cli.json_files import read_json

DESCRIPTION = """Train, use and share DETR, Deformable DETR and DINO.

  keras-detr train my_data                         fine-tune on a folder of images
  keras-detr predict photo.jpg --model my_model    pictures and JSON of what is seen
  keras-detr evaluate my_data --model my_model     COCO's metrics
  keras-detr export my_model --format onnx         a file for other runtimes
  keras-detr info my_model                         classes, sizes, parameters

A model is a .keras file, the folder of a training or of `save_to_preset`, the name of a preset such
as detr_r50, or hf://owner/name. The environment variable KERAS_BACKEND chooses tensorflow, jax or
torch.
"""
# Parts of the messages by which backends say that memory isn't enough.
OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "ResourceExhausted", "out of memory", "OOM when")
# What lets a command do with less memory, the first most.
SAVING_OPTIONS = {
    "--batch-size": "a smaller --batch-size",
    "--short-side": "a smaller --short-side",
    "--mixed-precision": "--mixed-precision",
}
# Errors that the library raises with an explanation.
EXPLAINED = (OSError, ValueError, ImportError, FloatingPointError, NotImplementedError)
# How the library calls what a command calls otherwise.
OTHER_NAMES = {
    "folder": "data",
    "images_dir": "data",
    "images": "image",
    "source": "model",
    "preset": "model",
    "filepath": "output",
}


def make_parser():
    """Return the parser of all commands, and a dict of those of each."""
    parser = argparse.ArgumentParser(
        prog="keras-detr",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="keras-detr [-h] [--version] command ...",
        epilog="`keras-detr train --help` describes a command and its arguments.",
    )
    version = f"keras_detr {importlib.metadata.version('keras_detr')}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(
        dest="command",
        metavar="command",
        prog="keras-detr",
        required=True,
        help=", ".join(COMMANDS),
    )
    for name in COMMANDS:
        add_command(commands, name)
    return parser, commands.choices


def main(arguments=None):
    """Run a command, and return its exit code: 0, 1 for an error, 130 for Ctrl+C."""
    # TensorFlow logs what it found of the machine when it is imported, which is below.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    log_to_terminal()
    arguments = sys.argv[1:] if arguments is None else arguments
    parser, parsers = make_parser()
    if not arguments:
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    chosen = parser.parse_args(arguments)
    name = chosen.command
    if name == "export":
        # It takes what every backend saved.
        os.environ.update(KERAS_BACKEND="tensorflow")
    try:
        if name == "train" and (chosen.config or chosen.resume):
            set_defaults(parsers[name], chosen)
            chosen = parser.parse_args(arguments)
        return getattr(cli, name).run(chosen) or 0
    except KeyboardInterrupt:
        # The progress bar hasn't ended its line.
        print("\ninterrupted", file=sys.stderr)
        if name == "train" and pathlib.Path(chosen.output, "config.json").is_file():
            print(f"To go on: keras-detr train --resume {chosen.output}", file=sys.stderr)
        return 130
    except Exception as error:
        if chosen.debug:
            raise
        message = str(error).strip() or type(error).__name__
        if isinstance(error, MemoryError) or any(part in message for part in OUT_OF_MEMORY):
            message = f"{memory_advice(parsers[name])}\nThe backend says: {message.splitlines()[0]}"
        elif (checked := re.search(r"assertion failed: \[(.*)\]", message, re.DOTALL)) is not None:
            # What the library checks within tf.data.
            message = checked[1].replace("] [", " ").replace("\\'", "'")
        elif not isinstance(error, EXPLAINED):
            # It isn't known to be anyone's mistake but ours.
            raise
        print(f"keras-detr {name}: {as_typed(message, parsers[name])}", file=sys.stderr)
        return 1


def log_to_terminal():
    """Show what the library logs as it is; other libraries show their logs themselves."""
    logger = logging.getLogger("keras_detr")
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)


def set_defaults(parser, chosen):
    """Let a parser take what isn't typed from an earlier training.

    Args:
        parser: `argparse.ArgumentParser` of `keras-detr train`.
        chosen: `argparse.Namespace`, what was typed, with `config` or `resume`.

    Raises:
        ValueError: the file can't be used.
    """
    path = chosen.config
    if chosen.resume:
        path = pathlib.Path(chosen.resume) / "config.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"--resume: {chosen.resume!r} holds no training: no config.json."
            )
        parser.set_defaults(output=chosen.resume)
    for name, value in read_json(path).items():
        if name in ("help", "debug") or not hasattr(chosen, name):
            raise ValueError(f"{path}: there is no argument {name!r}.")
        # Text is read, and thereby checked, as if it were typed.
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        parser.set_defaults(**{name: str(value) if is_number else value})


def memory_advice(parser):
    """Return what to do when memory runs out, with the options that a command has."""
    shown = parser.format_help()
    helpful = [advice for option, advice in SAVING_OPTIONS.items() if option in shown]
    return (
        "The memory isn't enough. What helps, the first most: "
        f"{', '.join([*helpful, 'a smaller model'])}. Close other programs that use the GPU."
    )


def as_typed(message, parser):
    """Return the message of an error with arguments of the library as they are typed.

    Args:
        message: str, with the names of arguments in backquotes.
        parser: `argparse.ArgumentParser` of the command that met the error.
    """
    shown = parser.format_help()

    def as_argument(found):
        name = OTHER_NAMES.get(found[1], found[1]).replace("_", "-")
        if f"--{name}" in shown:
            return f"--{name}"
        return name.upper() if name.upper() in shown else found[0]

    return re.sub("`([a-z_]+)=?`", as_argument, message)
