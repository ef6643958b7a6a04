"""Train a small DETR from scratch on generated images, score it, and draw what it sees.

    python examples/quickstart.py

Generates a data set of shapes on textured backgrounds (a TFDS builder with COCO's features), trains
with `model.fit`, prints COCO AP on held-out images, saves the model, loads it again, and writes a
picture of its predictions beside the truth. Everything lands in the folder `quickstart`.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_detr
from keras_detr.datasets import load_shapes
from keras_detr.evaluation import evaluate_detector, summary_table
from keras_detr.preprocessing import PadToCanvas, ResizeShortestSide
from keras_detr.visualization import plot_comparison

# Fractions of the image don't change when it is resized or padded.
BOX_FORMAT = "rel_xyxy"
CANVAS = 96
NUM_QUERIES = 12
BATCH_SIZE = 32
LEARNING_RATE = 1e-3


def load_batches(split, data_dir, is_training):
    """Return batches of images on one canvas, and the names of the classes."""
    dataset = load_shapes(split, data_dir=data_dir, bounding_box_format=BOX_FORMAT)
    class_names = dataset.class_names
    # Images of 96 to 160 pixels a side: the longer one fits the canvas, the aspect stays.
    layers = [
        ResizeShortestSide(CANVAS, longest_side=CANVAS, bounding_box_format=BOX_FORMAT),
        PadToCanvas((CANVAS, CANVAS), max_boxes=NUM_QUERIES, bounding_box_format=BOX_FORMAT),
    ]
    for layer in layers:
        dataset = dataset.map(layer, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.cache()
    if is_training:
        dataset = dataset.shuffle(2000, seed=0)
    return dataset.batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE), class_names


def small_backbone():
    """Return a few convolutions: any functional model that names its pyramid will do."""
    images = keras.Input((None, None, 3), name="images")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    for filters, stride in ((16, 2), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1)):
        x = keras.layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
    backbone = keras.Model(images, x, name="small_backbone")
    backbone.pyramid_level_inputs = {"P4": backbone.layers[-1].name}
    return backbone


def build_model(class_names, num_steps):
    """Return a compiled DETR of a few layers."""
    model = keras_detr.DETR(
        small_backbone(),
        num_classes=len(class_names),
        bounding_box_format=BOX_FORMAT,
        num_queries=NUM_QUERIES,
        hidden_dim=128,
        num_encoder_layers=2,
        num_decoder_layers=3,
        feed_forward_dim=256,
        dropout=0.0,
        class_names=class_names,
    )
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, num_steps, warmup_target=LEARNING_RATE, warmup_steps=100
    )
    model.compile(keras_detr.detr_optimizer(model, rate, rate))
    return model


def draw_comparison(model, batches, class_names, path):
    """Draw the predictions for a few held-out images beside the truth."""
    batch = next(iter(batches))
    inputs = {name: batch[name].numpy() for name in ("images", "pixel_mask")}
    plot_comparison(
        inputs["images"],
        {name: batch["bounding_boxes"][name].numpy() for name in ("boxes", "classes")},
        model.predict(inputs, verbose=0),
        BOX_FORMAT,
        class_names=class_names,
        pixel_mask=inputs["pixel_mask"],
        path=path,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("quickstart"))
    parser.add_argument("--epochs", type=int, default=30)
    arguments = parser.parse_args()
    start = time.monotonic()
    keras.utils.set_random_seed(0)
    arguments.output.mkdir(parents=True, exist_ok=True)

    data_dir = arguments.output / "data"
    train_batches, class_names = load_batches("train", data_dir, is_training=True)
    held_out_batches, _ = load_batches("validation", data_dir, is_training=False)
    print(f"classes: {', '.join(class_names)}", flush=True)

    model = build_model(class_names, num_steps=len(train_batches) * arguments.epochs)
    model.fit(train_batches, epochs=arguments.epochs)

    print("\nCOCO AP on held-out images:")
    print(summary_table(evaluate_detector(model, held_out_batches)))

    path = arguments.output / "detector.keras"
    model.save(path)
    reloaded = keras.saving.load_model(path)
    images = next(iter(held_out_batches))["images"].numpy()
    same = np.allclose(
        model.predict(images, verbose=0)["boxes"], reloaded.predict(images, verbose=0)["boxes"]
    )
    if not same:
        raise SystemExit(f"{path} predicts other boxes than the model that was saved to it")

    picture = arguments.output / "predictions.png"
    draw_comparison(reloaded, held_out_batches, class_names, picture)
    print(f"saved {path} and reloaded it; predictions beside the truth: {picture}")
    print(f"{time.monotonic() - start:.0f} s in all")


if __name__ == "__main__":
    main()
