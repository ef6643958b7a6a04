"""Score a detector on a folder of images with COCO's metrics.

The folder is as for `keras-detr train`. Its test part is scored if there is one, otherwise the
validation part; --part chooses. With a dilated backbone (DC5) images are evaluated one by one,
because these models were trained without padding.
"""

import functools
import json
import pathlib

from keras_detr.cli.arguments import FORMAT, add_model, settings_of_load, sizes_of
from keras_detr.datasets import load_folder
from keras_detr.evaluation import COCOMetrics, class_table, evaluate_detector, summary_table
from keras_detr.models import load
from keras_detr.preprocessing import evaluation_batches


def add_arguments(parser):
    """Add the arguments of `keras-detr evaluate`."""
    parser.add_argument("data", help="the folder of images and annotations")
    add_model(parser)
    parser.add_argument("--format", choices=("auto", "coco", "yolo", "voc"), default="auto")
    parser.add_argument(
        "--part", choices=("train", "valid", "test"), help="default: test, or valid"
    )
    parser.add_argument("--batch-size", type=int, default=4, help="(%(default)s)")
    parser.add_argument("--per-class", action="store_true", help="show the AP of each class too")
    parser.add_argument("--output", metavar="FILE", help="write the metrics as JSON")


def run(arguments):
    """Print the metrics, and write them."""
    model = load(arguments.model, **FORMAT, **settings_of_load(arguments))
    data = _load_data(arguments, model.class_names)
    part = arguments.part or ("valid" if data.test is None else "test")
    dataset = getattr(data, part)
    if dataset is None:
        raise ValueError(f"{arguments.data} has no {part} part: pass another --part.")
    batch_size = arguments.batch_size
    if getattr(model.backbone, "dilation", False):
        batch_size = 1
        # Almost every image has a size of its own, and XLA would compile a program for each.
        model.compile(jit_compile=False)
    batches = evaluation_batches(dataset, sizes_of(model), batch_size, **FORMAT)
    metrics = COCOMetrics(**FORMAT, num_classes=model.num_classes, class_names=dataset.class_names)
    figures = evaluate_detector(model, batches, verbose=1, metrics=metrics)
    print(f"{part} images of {arguments.data}:\n{summary_table(figures)}")
    if arguments.per_class:
        print(class_table(metrics.result_per_class()))
    if arguments.output:
        path = pathlib.Path(arguments.output)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=2))
        print(f"-> {path}")


def _load_data(arguments, class_names):
    """Return the data with the classes in the model's order, if it has their names."""
    load_data = functools.partial(
        load_folder, arguments.data, arguments.format, hold_out=None, **FORMAT
    )
    data = load_data()
    if class_names is None or list(class_names) == data.class_names:
        return data
    if set(class_names) != set(data.class_names):
        raise ValueError(
            f"The model's classes, {', '.join(class_names)}, aren't those of {arguments.data}, "
            f"{', '.join(data.class_names)}."
        )
    return load_data(classes=class_names)
