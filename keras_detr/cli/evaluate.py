"""Score a detector on a folder of images, or on COCO: `keras-detr evaluate`."""

import contextlib
import functools
import math
import pathlib

from keras_detr.cli.arguments import COCO
from keras_detr.cli.json_files import read_json, write_json
from keras_detr.cli.settings import FORMAT, output_folder, sizes_of
from keras_detr.datasets import load_coco, load_coco_json, load_folder
from keras_detr.datasets.image_files import checked_folder
from keras_detr.evaluation import (
    COCOMetrics,
    COCOResultsWriter,
    class_table,
    evaluate_detector,
    f1_line,
    summary_table,
)
from keras_detr.models import load
from keras_detr.models.training_run import is_training_folder
from keras_detr.preprocessing import evaluation_batches
from keras_detr.visualization import plot_confusion_matrix, plot_precision_recall

# More than any image of COCO has.
MOST_BOXES_IN_COCO = 100


def run(arguments):
    """Print the metrics, and write them."""
    if arguments.data != COCO:
        checked_folder(arguments.data, "data")
    folder = None if arguments.output is None else output_folder(arguments.output)
    model = load(arguments.model, weights=arguments.weights, **FORMAT)
    dataset, source = _load_data(arguments, model)
    batches = _batches(dataset, model, arguments)
    metrics = COCOMetrics(**FORMAT, num_classes=model.num_classes, class_names=dataset.class_names)
    with contextlib.ExitStack() as stack:
        on_batch = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            on_batch = _written(stack, folder, dataset)
        figures = evaluate_detector(model, batches, verbose=1, metrics=metrics, on_batch=on_batch)
    curves = metrics.curves()
    print(f"{source}:\n{summary_table(figures)}\n{f1_line(curves.best())}")
    if arguments.per_class:
        print(class_table(metrics.result_per_class(), curves.best_per_class()))
    if folder is not None:
        _write(folder, metrics, curves, arguments.confidence_threshold)
        print(f"-> {folder}")


def _write(folder, metrics, curves, confidence_threshold):
    """Write figures and pictures."""
    best, by_class = curves.best(), curves.best_per_class()
    per_class = {
        name: {"AP": value, **by_class[name]} for name, value in metrics.result_per_class().items()
    }
    figures = {**metrics.result(), **best, "per_class": per_class}
    write_json(folder / "metrics.json", figures)
    write_json(folder / "curves.json", curves.to_dict(), indent=None)
    if math.isnan(best["F1"]):
        # Without objects there is nothing to draw, and no best threshold.
        return
    plot_precision_recall(curves, path=folder / "precision_recall.png")
    if confidence_threshold is None:
        is_known = not math.isnan(best["confidence_threshold"])
        confidence_threshold = best["confidence_threshold"] if is_known else 0.5
    matrix = metrics.confusion_matrix(confidence_threshold=confidence_threshold)
    plot_confusion_matrix(matrix, path=folder / "confusion_matrix.png")
    write_json(folder / "confusion_matrix.json", matrix.to_dict(), indent=None)


def _load_data(arguments, model):
    """Return the data set, with the classes in the model's order, and what it is."""
    # Other formats than COCO-JSON have no masks, and are scored by boxes.
    with_masks = {"masks": model.has_masks and arguments.format in ("auto", "coco"), **FORMAT}
    if arguments.data == COCO:
        if arguments.part == "test":
            raise ValueError("COCO's test part has no annotations: pass another --part.")
        split = "train" if arguments.part == "train" else "validation"
        # COCO's metrics need the crowds; of images in order no more are in memory than needed.
        settings = {"crowds": "keep", "shuffle_files": False, **FORMAT}
        dataset = load_coco(split, data_dir=arguments.data_dir, **settings)
        return dataset, f"{split} images of {COCO}"
    if arguments.annotations is not None:
        read = functools.partial(
            load_coco_json,
            arguments.data,
            arguments.annotations,
            broken_images="find",
            **with_masks,
        )
        dataset = _in_order(read, "class_names", model, arguments.annotations)
        return dataset, f"images of {arguments.annotations}"
    settings = {"format": arguments.format, "hold_out": arguments.hold_out, "seed": arguments.seed}
    # As in training, where damaged images are left out too.
    settings["broken_images"] = "find"
    if arguments.hold_out is None:
        settings |= _settings_of_training(arguments)
    read = functools.partial(load_folder, arguments.data, **settings, **with_masks)
    data = _in_order(read, "classes", model, arguments.data, absent_classes="allow")
    part = arguments.part or ("valid" if data.test is None else "test")
    dataset = getattr(data, part)
    if dataset is None:
        raise ValueError(
            f"{arguments.data} has no {part} part. To score what `keras-detr train` held out, pass "
            "the model in the folder that it wrote, or its --hold-out (0.2 by default) and --seed. "
            f"--part {_other_part(data)} scores the images of that part."
        )
    if part == "valid" and data.is_held_out:
        part = "held-out"
    return dataset, f"{part} images of {arguments.data}"


def _other_part(data):
    """Return the name of a part that there is."""
    return next(part for part in ("test", "valid", "train") if getattr(data, part) is not None)


def _settings_of_training(arguments):
    """Return the settings of `load_folder` with which the model was trained on the same folder.

    They are in config.json, in the folder that `keras-detr train` wrote. With them the same images
    are held out. Without such a file the result is empty.
    """
    model = pathlib.Path(arguments.model)
    folder = model if is_training_folder(model) else model.parent
    path = folder / "config.json"
    if not model.exists() or not path.is_file():
        return {}
    try:
        config = read_json(path)
    except ValueError:
        return {}
    is_same = config.get("data") == str(pathlib.Path(arguments.data).resolve())
    if not is_same or not {"format", "classes", "hold_out", "seed"} <= set(config):
        return {}
    return {name: config[name] for name in ("format", "classes", "hold_out", "seed")}


def _in_order(read, argument, model, source, **settings):
    """Read data, with the model's classes in its order, if it has those of the data.

    Args:
        read: function that loads the data.
        argument: str, the argument of `read` that chooses classes.
        model: the detector.
        source: str, where the data are from.
        **settings: arguments of `read` beside that one.
    """
    class_names, num_classes = model.class_names, model.num_classes
    data = read()
    if class_names is None and len(data.class_names) != num_classes:
        raise ValueError(
            f"The model's {num_classes} classes have no names, by which they could be those of "
            f"{source}, which has {len(data.class_names)}: {_brief(data.class_names)}. Name them "
            "in Python (`model.class_names = [...]`), and save the model again."
        )
    if class_names is None or list(class_names) == data.class_names:
        return data
    unknown = [name for name in data.class_names if name not in class_names]
    if unknown:
        raise ValueError(
            f"{source} has classes that the model hasn't: {_brief(unknown)} would never be found. "
            f"The model's classes are {_brief(class_names)}. Give the same objects the same names "
            "in the data, or remove these classes from it."
        )
    num_more = len(class_names) - len(data.class_names)
    if num_more:
        print(
            f"{source} has only {len(class_names) - num_more} of the model's {len(class_names)} "
            "classes. What is found of the others doesn't count in AP and F1, which are means over "
            "the classes with objects."
        )
    return read(**{argument: class_names}, **settings)


def _brief(names, most=10):
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _batches(dataset, model, arguments):
    sizes = model.preprocessor_sizes
    if arguments.short_side is not None:
        sizes = sizes_of(model, arguments.short_side)
    batch_size = arguments.batch_size
    if model.is_trained_unpadded or sizes is None:
        batch_size = None
        # Almost every image has a size of its own, and XLA would compile a program for each.
        model.compile(jit_compile=False)
    max_boxes = MOST_BOXES_IN_COCO if arguments.data == COCO else None
    return evaluation_batches(dataset, sizes, batch_size, max_boxes=max_boxes, **FORMAT)


def _written(stack, folder, dataset):
    """Return a function that writes the detections of a batch to results.json, or None."""
    if dataset.category_ids is None:
        return None
    writer = COCOResultsWriter(folder / "results.json", category_ids=dataset.category_ids)
    stack.enter_context(writer)
    return lambda batch, found: writer.write(batch["image_id"], found)
