"""Detect objects in image files: `keras-detr predict`."""

from keras_detr.cli.json_files import write_json
from keras_detr.cli.settings import output_folder, sizes_of
from keras_detr.inference.image_sources import find_images
from keras_detr.models import load
from keras_detr.ops.printable_text import counted
from keras_detr.preprocessing import DETRPreprocessor


def run(arguments):
    """Write pictures and a JSON file, and return 1 if a file couldn't be read."""
    folder = output_folder(arguments.output)
    # Before the model is loaded, which may take minutes.
    find_images(arguments.images)
    model = load(arguments.model, weights=arguments.weights)
    if arguments.short_side is not None:
        short_side, longest_side = sizes_of(model, arguments.short_side)
        model.preprocessor = DETRPreprocessor(
            short_side,
            longest_side=longest_side,
            bounding_box_format=model.bounding_box_format,
        )
    results = model.detect(arguments.images, confidence_threshold=arguments.confidence_threshold)
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
