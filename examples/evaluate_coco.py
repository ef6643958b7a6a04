"""Evaluate a detector on COCO 2017 with COCO's metrics, and write results.json.

    python examples/evaluate_coco.py --model detr_r50 --data-dir ~/tensorflow_datasets

COCO is read through TFDS ("coco/2017"), which downloads and prepares it if `--data-dir` doesn't
hold it yet. Copy it and change it; `keras-detr evaluate coco/2017` does more, without changes, and
takes your own images too.
"""

import argparse

import keras_detr
from keras_detr.datasets import load_coco
from keras_detr.evaluation import (
    COCOMetrics,
    COCOResultsWriter,
    class_table,
    evaluate_detector,
    summary_table,
)
from keras_detr.preprocessing import evaluation_batches

FORMAT = {"bounding_box_format": "rel_xyxy"}  # Fractions of the image: resizing keeps them.
MOST_BOXES = 100  # More than any image of COCO has.


def parse_arguments():
    parser = argparse.ArgumentParser(description="Evaluate a detector on COCO 2017.")
    parser.add_argument(
        "--model", default="detr_r50", help="a preset, folder, hf://owner/name or .keras file"
    )
    parser.add_argument("--data-dir", help="the folder of TFDS' data sets")
    parser.add_argument("--split", default="validation", help="such as validation[:100]")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--output", default="results.json")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    # COCO ignores detections in a crowd, so crowds are kept.
    data = load_coco(arguments.split, data_dir=arguments.data_dir, crowds="keep", **FORMAT)
    model = keras_detr.load(arguments.model, **FORMAT)
    batch_size = arguments.batch_size
    if model.is_trained_unpadded:
        batch_size = None  # One by one. XLA would compile a program for almost every image.
        model.compile(jit_compile=False)
    batches = evaluation_batches(
        data, model.preprocessor_sizes, batch_size, max_boxes=MOST_BOXES, **FORMAT
    )
    metrics = COCOMetrics(**FORMAT, num_classes=model.num_classes, class_names=data.class_names)
    with COCOResultsWriter(arguments.output, category_ids=data.category_ids) as writer:
        result = evaluate_detector(
            model,
            batches,
            verbose=1,
            metrics=metrics,
            on_batch=lambda batch, found: writer.write(batch["image_id"], found),
        )
    print(class_table(metrics.result_per_class()))
    print(summary_table(result))
    print(f"{writer.num_detections} detections -> {arguments.output}")


if __name__ == "__main__":
    main()
