"""`keras-detr`: train, predict, evaluate, export and describe detectors from a terminal."""

import argparse
import importlib.metadata
import logging
import sys

from keras_detr import cli

# Each is a module of this package, which is loaded when it is chosen: that takes seconds.
COMMANDS = ("train", "predict", "evaluate", "export", "info")
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
MEMORY_ADVICE = (
    "The memory isn't enough. What helps, the first most: a smaller --batch-size, a smaller "
    "--short-side, --mixed-precision, a smaller model. Close other programs that use the GPU."
)


def parse(arguments):
    """Return the module of the command that was chosen, and its arguments."""
    parser = argparse.ArgumentParser(
        prog="keras-detr",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="keras-detr [-h] [--version] command ...",
        epilog="`keras-detr train --help` describes a command and its arguments.",
    )
    version = f"keras_detr {importlib.metadata.version('keras_detr')}"
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    chosen = parser.parse_args(arguments)
    module = getattr(cli, chosen.command)
    parser = argparse.ArgumentParser(
        prog=f"keras-detr {chosen.command}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    return module, parser.parse_args(chosen.rest)


def main(arguments=None):
    """Run a command, and return its exit code: 0, 1 for an error, 130 for Ctrl+C."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    module, chosen = parse(arguments)
    name = module.__name__.rpartition(".")[-1]
    try:
        return module.run(chosen) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if chosen.debug:
            raise
        message = str(error).strip() or type(error).__name__
        if isinstance(error, MemoryError) or any(part in message for part in OUT_OF_MEMORY):
            message = f"{MEMORY_ADVICE}\nThe backend says: {message.splitlines()[0]}"
        elif not isinstance(error, (OSError, ValueError, ImportError, FloatingPointError)):
            # It isn't known to be anyone's mistake but ours.
            raise
        print(f"keras-detr {name}: {message}", file=sys.stderr)
        return 1
