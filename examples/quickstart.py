"""Train a small DETR from scratch on generated images, evaluate it, and draw its predictions.

    python examples/quickstart.py

Generates a data set of shapes on textured backgrounds (a TFDS builder with COCO's features), trains
with `model.fit`, prints COCO AP on held-out images, saves the model, loads it again, and writes a
picture of its predictions beside the ground truth. All files are written to the folder
`quickstart`. An interrupted run continues when it is started again.
"""

import argparse
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

import keras_detr
from keras_detr.datasets import ShapesConfig, load_shapes
from keras_detr.evaluation import evaluate_detector, summary_table
from keras_detr.losses import SoftmaxClassification
from keras_detr.preprocessing import PadToCanvas, RandomHorizontalFlip, Resize
from keras_detr.visualization import plot_comparison

# Fractions of the image don't change when it is resized.
BOX_FORMAT = "rel_xyxy"
NUM_IMAGES = 5000
IMAGE_SIZE = (80, 80)
NUM_QUERIES = 6
BATCH_SIZE = 8
LEARNING_RATE = 5e-4
# A backbone trained from scratch needs larger steps than attention; a pretrained one smaller ones.
BACKBONE_LEARNING_RATE = 3 * LEARNING_RATE
# Steps that run without returning to Python, which would take much of the time of small steps.
STEPS_PER_EXECUTION = 25


def load_batches(split, data_dir, is_training):
    """Return batches of images of one size, and the names of the classes."""
    dataset = load_shapes(
        split,
        data_dir=data_dir,
        bounding_box_format=BOX_FORMAT,
        config=ShapesConfig(num_train=NUM_IMAGES),
        # The cache below would always repeat the first order.
        shuffle_files=False,
    )
    class_names = dataset.class_names
    # Images of 96 to 160 pixels a side are stretched to one size. Without padding, a position in
    # the feature map is always the same position in the image, which is learned faster.
    resize = Resize(IMAGE_SIZE, bounding_box_format=BOX_FORMAT)
    flip = RandomHorizontalFlip(bounding_box_format=BOX_FORMAT, seed=0)
    pad = PadToCanvas(IMAGE_SIZE, max_boxes=NUM_QUERIES, bounding_box_format=BOX_FORMAT)
    dataset = dataset.map(resize, num_parallel_calls=tf.data.AUTOTUNE).cache()
    if is_training:
        # These small images are in the cache anyway; photos are shuffled before they are decoded.
        dataset = dataset.shuffle(NUM_IMAGES, seed=0)
        dataset = dataset.map(flip, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.map(pad, num_parallel_calls=tf.data.AUTOTUNE)
    # XLA compiles a program for each shape, so a smaller last training batch is dropped.
    dataset = dataset.batch(BATCH_SIZE, drop_remainder=is_training)
    return dataset.prefetch(tf.data.AUTOTUNE), class_names


@keras.saving.register_keras_serializable("keras_detr_quickstart")
class AddCoordinates(keras.layers.Layer):
    """Append every pixel's coordinates as two channels (CoordConv, Liu et al. 2018).

    With coordinates in its features, a detector learns faster where objects are.
    """

    def call(self, images):
        height, width = ops.shape(images)[1:3]
        rows = ops.arange(height, dtype=images.dtype) * (2 / (height - 1)) - 1
        columns = ops.arange(width, dtype=images.dtype) * (2 / (width - 1)) - 1
        zeros = ops.zeros_like(images[..., :1])
        places = [rows[None, :, None, None] + zeros, columns[None, None, :, None] + zeros]
        return ops.concatenate([images, *places], axis=-1)

    def compute_output_shape(self, images_shape):
        return (*images_shape[:-1], images_shape[-1] + 2)


def small_backbone():
    """Return a few convolutions; any functional model that names its pyramid levels works."""
    images = keras.Input((None, None, 3), name="images")
    x = AddCoordinates()(keras.layers.Rescaling(1 / 127.5, offset=-1)(images))
    for filters, stride in ((16, 2), (32, 2), (64, 2), (64, 1), (128, 2), (128, 1)):
        x = keras.layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
    backbone = keras.Model(images, x, name="small_backbone")
    backbone.pyramid_level_inputs = {"P4": backbone.layers[-1].name}
    return backbone


def build_model(class_names, num_steps):
    """Return a compiled DETR with a few layers, which learns from scratch in minutes."""
    model = keras_detr.DETR(
        small_backbone(),
        num_classes=len(class_names),
        bounding_box_format=BOX_FORMAT,
        num_queries=NUM_QUERIES,
        hidden_dim=128,
        num_encoder_layers=0,
        num_decoder_layers=3,
        feed_forward_dim=256,
        dropout=0.0,
        normalize_before=True,
        neck=keras_detr.SingleScaleNeck(128, keras_detr.LearnedPositionEmbedding(128)),
        class_names=class_names,
        # `detect` resizes raw images to the size of the training images.
        preprocessor_sizes=IMAGE_SIZE,
    )
    rate, backbone_rate = (
        keras.optimizers.schedules.CosineDecay(0.0, num_steps, warmup_target=top, warmup_steps=100)
        for top in (LEARNING_RATE, BACKBONE_LEARNING_RATE)
    )
    model.compile(
        keras_detr.detr_optimizer(model, rate, backbone_rate),
        # With few queries, most of them matched, those without an object get a larger weight than
        # the paper's 0.1, so that fewer objects are found twice.
        loss=keras_detr.HungarianLoss(SoftmaxClassification(0.3), class_weight=3.0),
        jit_compile=True,
        steps_per_execution=STEPS_PER_EXECUTION,
    )
    return model


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("quickstart"))
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    start = time.monotonic()
    keras.utils.set_random_seed(0)
    try:
        run = keras_detr.TrainingRun(arguments.output, {"epochs": arguments.epochs})
    except FileExistsError as error:
        sys.exit(f"--output: {error}")
    if run.is_finished:
        print(f"the training in {arguments.output} is finished: choose another --output for more")
        return

    data_dir = arguments.output / "data"
    train_batches, class_names = load_batches("train", data_dir, is_training=True)
    held_out_batches, _ = load_batches("validation", data_dir, is_training=False)
    print(f"classes: {', '.join(class_names)}", flush=True)

    model = build_model(class_names, num_steps=len(train_batches) * arguments.epochs)
    # The backup is kept until all files below are written.
    backup = keras.callbacks.BackupAndRestore(
        run.backup_dir, double_checkpoint=True, delete_checkpoint=False
    )
    model.fit(train_batches, epochs=arguments.epochs, callbacks=[backup])

    print("\nCOCO AP on held-out images:")
    print(summary_table(evaluate_detector(model, held_out_batches)))

    path = arguments.output / "detector.keras"
    model.save(path)
    reloaded = keras.saving.load_model(path)
    batch = next(held_out_batches.as_numpy_iterator())
    inputs = {name: batch[name] for name in ("images", "pixel_mask")}
    detections = reloaded.predict(inputs, verbose=0)
    if not np.allclose(detections["boxes"], model.predict(inputs, verbose=0)["boxes"]):
        raise SystemExit(f"{path} predicts other boxes than the model that was saved to it")

    picture = arguments.output / "predictions.png"
    plot_comparison(
        batch["images"],
        batch["bounding_boxes"],
        detections,
        BOX_FORMAT,
        class_names=class_names,
        path=picture,
    )
    run.finish()
    print(f"saved {path} and reloaded it; predictions beside the truth: {picture}")
    print(f"{time.monotonic() - start:.0f} s in all")


if __name__ == "__main__":
    main()
