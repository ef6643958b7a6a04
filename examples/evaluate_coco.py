"""Evaluate a detector on COCO or on your own images with COCO's metrics, and write results.json.

    python examples/evaluate_coco.py --data-dir ~/tensorflow_datasets --output results.json
    python examples/evaluate_coco.py --images photos --annotations truth.json --preset my_model

COCO is read through TFDS ("coco/2017"), or your own file in COCO's JSON format, with any
categories: in the order of their ids they are the model's classes. `--preset` is a preset, a folder
from `save_to_preset` or hf://owner/name; `--weights` is a file of official or Hub weights. Images
are resized as in the original and padded to a few sizes. With a dilated last stage (DC5), images
are evaluated one by one without padding, as these models were trained: padding costs them about
10 AP.
"""

import argparse
import sys
from pathlib import Path

import tensorflow as tf

import keras_detr
from keras_detr.checkpoints import COCO_CATEGORY_IDS
from keras_detr.datasets import load_coco, load_coco_json
from keras_detr.evaluation import (
    COCOMetrics,
    COCOResultsWriter,
    class_table,
    evaluate_detector,
    summary_table,
)
from keras_detr.preprocessing import ResizeShortestSide, bucketed_batches, scaled_canvases

# Fractions of the image don't change when it is resized or padded.
BOX_FORMAT = "rel_xyxy"
MOST_BOXES_IN_COCO = 100


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--preset", default="detr_r50", help="a preset, a saved folder, or hf://owner/name"
    )
    parser.add_argument("--weights", default=None, help="a file with official or Hub names")
    parser.add_argument("--images", type=Path, default=None, help="the folder of your own images")
    parser.add_argument("--annotations", type=Path, default=None, help="their COCO-JSON file")
    parser.add_argument("--data-dir", default=None, help="the folder of TFDS' data sets")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--batch-size", type=int, default=4, help="DC5 models take one image")
    parser.add_argument("--short-side", type=int, default=None, help="default: as the model says")
    parser.add_argument("--longest-side", type=int, default=None, help="default: as the model says")
    parser.add_argument("--per-class", action="store_true", help="show the AP of each class too")
    parser.add_argument("--output", type=Path, default=Path("results.json"))
    arguments = parser.parse_args()
    if (arguments.images is None) != (arguments.annotations is None):
        parser.error("--images and --annotations go together")
    return arguments


def is_dilated(model):
    """Return whether the last stage of the model's backbone is dilated (DC5)."""
    return bool(getattr(model.backbone, "dilation", False))


def load_images(arguments):
    """Return the data set, the category id of each class, and the most boxes of an image."""
    # COCO ignores detections in a crowd, so crowds are kept.
    settings = {"bounding_box_format": BOX_FORMAT, "crowds": "keep"}
    if arguments.annotations is None:
        dataset = load_coco(arguments.split, data_dir=arguments.data_dir, **settings)
        return dataset, COCO_CATEGORY_IDS, MOST_BOXES_IN_COCO
    dataset = load_coco_json(arguments.images, arguments.annotations, **settings)
    return dataset, dataset.category_ids, max(1, dataset.report.most_boxes)


def make_batches(dataset, model, arguments, max_boxes):
    """Return batches of images padded to a few sizes, or single images without padding."""
    if model.preprocessor_sizes is None and not arguments.short_side:
        # The model takes images of any size as they are.
        return dataset.batch(1).prefetch(tf.data.AUTOTUNE)
    short_side, longest_side = model.preprocessor_sizes or (800, 1333)
    short_side = arguments.short_side or short_side
    longest_side = arguments.longest_side or longest_side
    resize = ResizeShortestSide(
        short_side, longest_side=longest_side, bounding_box_format=BOX_FORMAT
    )
    dataset = dataset.map(resize, num_parallel_calls=tf.data.AUTOTUNE)
    if is_dilated(model):
        return dataset.batch(1).prefetch(tf.data.AUTOTUNE)
    canvases = scaled_canvases(short_side, longest_side=longest_side)
    batches = bucketed_batches(dataset, canvases, arguments.batch_size, max_boxes=max_boxes)
    return batches.prefetch(tf.data.AUTOTUNE)


def check_classes(model, class_names, arguments):
    """Exit if the model's classes can't be those of the data, and print names that differ."""
    source = arguments.annotations or "COCO"
    if model.num_classes != len(class_names):
        sys.exit(
            f"{arguments.preset} has {model.num_classes} classes, {source} has {len(class_names)}"
        )
    for label, names in enumerate(zip(model.class_names or class_names, class_names, strict=True)):
        if len(set(names)) > 1:
            print(f"class {label} is {names[0]!r} to the model and {names[1]!r} in {source}")


def main():
    arguments = parse_arguments()
    if not arguments.output.parent.is_dir():
        sys.exit(f"--output: {arguments.output.parent} is no folder")
    try:
        dataset, category_ids, max_boxes = load_images(arguments)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    model = keras_detr.ObjectDetector.from_preset(
        arguments.preset, weights=arguments.weights, bounding_box_format=BOX_FORMAT
    )
    class_names = dataset.class_names
    check_classes(model, class_names, arguments)
    if is_dilated(model):
        print("a dilated backbone (DC5): images are evaluated one by one, unpadded", flush=True)
        # Almost every image has a different size, and XLA would compile a program for each.
        model.compile(jit_compile=False)
    batches = make_batches(dataset, model, arguments, max_boxes)
    metrics = COCOMetrics(BOX_FORMAT, num_classes=model.num_classes, class_names=class_names)
    with COCOResultsWriter(arguments.output, category_ids=category_ids) as writer:
        result = evaluate_detector(
            model,
            batches,
            verbose=1,
            metrics=metrics,
            on_batch=lambda batch, found: writer.write(batch["image_id"], found),
        )
    print(summary_table(result))
    if arguments.per_class:
        print(class_table(metrics.result_per_class()))
    print(f"{writer.num_detections} detections -> {arguments.output}")


if __name__ == "__main__":
    main()
