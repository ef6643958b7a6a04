"""Write a detector as a file for other runtimes: `keras-detr export`."""

import pathlib

from keras_detr.export import compare_export
from keras_detr.inference import read_image
from keras_detr.models import load
from keras_detr.ops.boxes import BOX_FORMATS

SUFFIXES = {"tf_saved_model": "_saved_model", "onnx": ".onnx", "litert": ".tflite"}


def run(arguments):
    """Write the file, and return 1 if it differs from the model."""
    image = None if arguments.image is None else read_image(arguments.image)
    model = load(arguments.model, weights=arguments.weights)
    name = pathlib.Path(arguments.model).stem + SUFFIXES[arguments.format]
    output = arguments.output or name
    model.export(output, format=arguments.format, verbose=False)
    print(f"{arguments.format} -> {output}")
    box_format = model.bounding_box_format
    unit = "fractions of the image" if BOX_FORMATS[box_format].is_relative else "pixels"
    print(f"its boxes are {box_format}: {unit}", flush=True)
    if not arguments.check and image is None:
        return 0
    comparisons = compare_export(model, output, arguments.format, image=image)
    print(*comparisons, sep="\n")
    return int(not all(comparison.is_same for comparison in comparisons))
