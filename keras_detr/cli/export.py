"""Write a detector as a file for other runtimes: `keras-detr export`."""

import pathlib

from keras_detr.cli.arguments import EXPORTS
from keras_detr.export import compare_export
from keras_detr.inference import read_image
from keras_detr.models import load
from keras_detr.models.training_run import is_training_folder
from keras_detr.ops.boxes import BOX_FORMATS


def run(arguments):
    """Write the file, and return 1 if it differs from the model."""
    image = None if arguments.image is None else read_image(arguments.image)
    # The other formats hold nothing else, and a model may have been trained in half precision.
    dtype = {} if arguments.format == "tf_saved_model" else {"dtype": "float32"}
    model = load(arguments.model, weights=arguments.weights, **dtype)
    output = arguments.output or _name_of(arguments.model) + EXPORTS[arguments.format]
    model.export(output, format=arguments.format, verbose=False)
    print(f"{arguments.format} -> {output}")
    box_format = model.bounding_box_format
    unit = "fractions of the image" if BOX_FORMATS[box_format].is_relative else "pixels"
    print(f"its boxes are {box_format}: {unit}", flush=True)
    if not arguments.check and image is None:
        return 0
    comparisons = compare_export(model, output, arguments.format, image=image)
    print(*comparisons, sep="\n")
    is_same = all(comparison.is_same for comparison in comparisons)
    print("the same within a thousandth" if is_same else "NOT the same within a thousandth")
    return int(not is_same)


def _name_of(model):
    """Return the name of a model; of a training's it is that of its folder."""
    path = pathlib.Path(model)
    is_in_training = path.stem in ("model", "preset") and is_training_folder(path.parent)
    return path.resolve().parent.name if is_in_training else path.stem
