"""Measure JPEG files to training batches, ours beside others', in one run.

    python benchmarks/data_pipeline.py --images coco/train2017 --rounds 5

Ours decodes, augments as in the paper (mirror, resize, crop, resize) and makes batches of two at
short side 800. Hugging Face's processor (skipped where transformers isn't installed) decodes with
PIL, resizes, normalizes and pads, without any augmentation; KerasCV's closest pipeline decodes,
mirrors, jitters scale and crops to a square of 800. The limit is decoding alone. All take the same
files in the same order, round by round in turns; the table gives medians in images a second.
"""

import argparse
import importlib.util
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_detr.preprocessing import DETRAugmentation, bucketed_batches

BOX_FORMAT = "rel_xyxy"
BATCH_SIZE = 2
BOXES = np.array([[0.1, 0.2, 0.6, 0.7], [0.3, 0.3, 0.9, 0.5]], np.float32)


def files_dataset(files):
    return tf.data.Dataset.from_tensor_slices([str(file) for file in files])


def decoded(path):
    return tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE")


def element(path):
    boxes = {"boxes": tf.constant(BOXES), "classes": tf.constant([1, 2])}
    return {"images": decoded(path), "bounding_boxes": boxes}


def decoding(files):
    """Decode only: no pipeline of images can be faster."""
    return files_dataset(files).map(decoded, num_parallel_calls=tf.data.AUTOTUNE)


def ours(files):
    augmentation = DETRAugmentation(bounding_box_format=BOX_FORMAT, seed=0)
    dataset = files_dataset(files).map(
        lambda path: augmentation(element(path)), num_parallel_calls=tf.data.AUTOTUNE
    )
    batches = bucketed_batches(dataset, batch_size=BATCH_SIZE, num_measured=0)
    return batches.prefetch(tf.data.AUTOTUNE)


def keras_cv_pipeline(files):
    import keras_cv

    layers = [
        keras_cv.layers.RandomFlip("horizontal", bounding_box_format=BOX_FORMAT),
        keras_cv.layers.JitteredResize(
            (800, 800), scale_factor=(0.6, 1.25), bounding_box_format=BOX_FORMAT
        ),
    ]

    def floats(path):
        came = element(path)
        boxes = {name: tf.cast(rows, tf.float32) for name, rows in came["bounding_boxes"].items()}
        return {"images": tf.cast(came["images"], tf.float32), "bounding_boxes": boxes}

    dataset = files_dataset(files).map(floats, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.ragged_batch(BATCH_SIZE)
    for layer in layers:
        dataset = dataset.map(layer, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE)


def hugging_face(files):
    from transformers import DetrImageProcessor

    processor = DetrImageProcessor()
    for start in range(0, len(files), BATCH_SIZE):
        images = [Image.open(file).convert("RGB") for file in files[start : start + BATCH_SIZE]]
        yield processor(images, return_tensors="np")


def seconds(pipeline):
    start = time.perf_counter()
    for _ in pipeline:
        pass
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, help="a folder of JPEG files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures here")
    arguments = parser.parse_args()
    files = sorted(arguments.images.glob("*.jpg"))
    if not files:
        parser.error(f"no *.jpg in {arguments.images}")
    pipelines = {
        "decoding alone": decoding(files),
        "keras_detr, whole augmentation": ours(files),
        "KerasCV, flip and jittered resize": keras_cv_pipeline(files),
    }
    makers = {name: (lambda made=made: made) for name, made in pipelines.items()}
    if importlib.util.find_spec("transformers"):
        makers["Hugging Face, no augmentation"] = lambda: hugging_face(files)
    else:
        print("Hugging Face is skipped: pip install transformers torch")
    times = {name: [] for name in makers}
    for index in range(arguments.rounds + 1):
        for name, make in makers.items():
            taken = seconds(make())
            # The first round traces and warms up.
            if index:
                times[name].append(taken)
    rates = {name: len(files) / statistics.median(taken) for name, taken in times.items()}
    for name, rate in rates.items():
        print(f"{name:<36}{rate:7.1f} images/s  (best {len(files) / min(times[name]):.1f})")
    if arguments.json:
        arguments.json.write_text(json.dumps(rates, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
