"""Detect objects in image files, and write pictures and a JSON file.

Takes files and folders. A file that isn't an image is reported, and the others are processed; the
exit code is then 1. detections.json holds boxes as (left, top, right, bottom) in pixels, and the
size of each image as (height, width).
"""

import pathlib

from keras_detr.cli.arguments import add_model, add_short_side, settings_of_load, sizes_of
from keras_detr.cli.json_files import write_json
from keras_detr.models import load
from keras_detr.ops.printable_text import counted
from keras_detr.preprocessing import DETRPreprocessor


def add_arguments(parser):
    """Add the arguments of `keras-detr predict`."""
    parser.add_argument("images", nargs="+", help="image files, or folders of them")
    add_model(parser)
    parser.add_argument(
        "--confidence-threshold", type=float, default=0.5, help="the least shown (%(default)s)"
    )
    add_short_side(parser)
    parser.add_argument("--output", default="detections", help="folder (%(default)s)")
    parser.add_argument("--no-pictures", action="store_true", help="write the JSON file alone")


def run(arguments):
    """Write pictures and a JSON file, and return 1 if a file couldn't be read."""
    model = load(arguments.model, **settings_of_load(arguments))
    if arguments.short_side is not None:
        short_side, longest_side = sizes_of(model, arguments.short_side)
        model.preprocessor = DETRPreprocessor(
            short_side,
            longest_side=longest_side,
            bounding_box_format=model.bounding_box_format,
        )
    results = model.detect(arguments.images, confidence_threshold=arguments.confidence_threshold)
    folder = pathlib.Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    for found in results:
        if found.error is None and not arguments.no_pictures:
            # With its suffix: a folder may hold photo.png beside photo.jpg.
            picture = folder / f"{found.path.name}.detections.png"
            found.plot(path=picture)
            print(f"{found.path}: {_count(found, arguments)} -> {picture}", flush=True)
    path = folder / "detections.json"
    write_json(path, [found.to_dict() for found in results])
    num_broken = sum(found.error is not None for found in results)
    print(f"{counted(len(results) - num_broken, 'image')} -> {path}, {num_broken} broken")
    return int(num_broken > 0)


def _count(found, arguments):
    if len(found):
        return f"{len(found)} objects"
    return f"no objects with a confidence of {arguments.confidence_threshold} or more"
