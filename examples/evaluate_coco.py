"""Evaluate DETR on COCO: the twelve figures, and a results.json for COCO's server.

    python examples/evaluate_coco.py --data-dir ~/tensorflow_datasets --output results.json

COCO is read through TFDS ("coco/2017"). `--preset` is a preset, a folder from `save_to_preset` or
hf://owner/name; `--weights` names a file of official or Hub weights. Images are resized as the
original does and padded to a few canvases; those of a model with a dilated last stage (DC5) are
evaluated one by one without padding, as its weights were trained: padding costs them about 10 AP.
"""

import argparse
import sys
from pathlib import Path

import tensorflow as tf

import keras_detr
from keras_detr.checkpoints.coco_categories import COCO_CATEGORY_IDS, COCO_CLASS_NAMES
from keras_detr.datasets import load_coco
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


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--preset", default="detr_r50", help="a preset, a saved folder, or hf://owner/name"
    )
    parser.add_argument("--weights", default=None, help="a file with official or Hub names")
    parser.add_argument("--data-dir", default=None, help="the folder of TFDS' data sets")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--batch-size", type=int, default=4, help="DC5 models take one image")
    parser.add_argument("--short-side", type=int, default=800)
    parser.add_argument("--longest-side", type=int, default=1333)
    parser.add_argument("--per-class", action="store_true", help="show the AP of each class too")
    parser.add_argument("--output", type=Path, default=Path("results.json"))
    return parser.parse_args()


def is_dilated(model):
    """Return whether the last stage of the model's backbone is dilated (DC5)."""
    return bool(getattr(model.backbone, "dilation", False))


def load_batches(arguments, is_padded):
    """Return COCO's images batch by batch: on a few canvases, or one by one as they are."""
    # COCO ignores what is found in a crowd, so crowds stay.
    dataset = load_coco(
        arguments.split,
        data_dir=arguments.data_dir,
        bounding_box_format=BOX_FORMAT,
        crowds="keep",
    )
    resize = ResizeShortestSide(
        arguments.short_side, longest_side=arguments.longest_side, bounding_box_format=BOX_FORMAT
    )
    dataset = dataset.map(resize, num_parallel_calls=tf.data.AUTOTUNE)
    if not is_padded:
        return dataset.batch(1).prefetch(tf.data.AUTOTUNE)
    canvases = scaled_canvases(arguments.short_side, arguments.longest_side)
    batches = bucketed_batches(dataset, canvases, arguments.batch_size)
    return batches.prefetch(tf.data.AUTOTUNE)


def main():
    arguments = parse_arguments()
    if not arguments.output.parent.is_dir():
        sys.exit(f"--output: {arguments.output.parent} is no folder")
    model = keras_detr.DETR.from_preset(
        arguments.preset, weights=arguments.weights, bounding_box_format=BOX_FORMAT
    )
    if model.num_classes != len(COCO_CATEGORY_IDS):
        sys.exit(f"{arguments.preset} has {model.num_classes} classes, COCO has 80")
    if is_dilated(model):
        print("a dilated backbone (DC5): images are evaluated one by one, unpadded", flush=True)
        # Almost every image has a size of its own, and XLA would compile a program for each.
        model.compile(jit_compile=False)
    batches = load_batches(arguments, is_padded=not is_dilated(model))
    metrics = COCOMetrics(BOX_FORMAT, num_classes=model.num_classes, class_names=COCO_CLASS_NAMES)
    with COCOResultsWriter(arguments.output, category_ids=COCO_CATEGORY_IDS) as writer:
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
