"""Write a detector as a file for other runtimes: raw images in, detections out.

ONNX and LiteRT need `pip install "keras_detr[export]"`. Every format needs TensorFlow.
"""

import pathlib

from keras_detr.cli.arguments import add_weights, settings_of_load
from keras_detr.models import load

SUFFIXES = {"tf_saved_model": "_saved_model", "onnx": ".onnx", "litert": ".tflite"}


def add_arguments(parser):
    """Add the arguments of `keras-detr export`."""
    parser.add_argument("model", help="a .keras file, a folder, a preset or hf://owner/name")
    add_weights(parser)
    parser.add_argument("--format", choices=SUFFIXES, default="tf_saved_model")
    parser.add_argument("--output", help="default: named after the model")


def run(arguments):
    """Write the file."""
    model = load(arguments.model, **settings_of_load(arguments))
    name = pathlib.Path(arguments.model).stem + SUFFIXES[arguments.format]
    output = arguments.output or name
    model.export(output, format=arguments.format, verbose=False)
    print(f"{arguments.format} -> {output}")
