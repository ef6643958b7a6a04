"""Train both detectors on eight real images until they know them by heart; run by its test.

A process of its own, because programs that run hundreds of steps are compiled as a user's are.
"""

import json
import pathlib
import sys

import keras
import numpy as np
from keras import ops

from keras_detr import DETR, DeformableDETR, detr_optimizer
from keras_detr.datasets import load_coco
from keras_detr.evaluation import evaluate_detector
from keras_detr.preprocessing import PadToCanvas, ResizeShortestSide
from tests.datasets.coco_mini import prepare_coco_mini

SIDE = 128
MOST_STEPS = 600
STEPS_AT_ONCE = 50


def eight_images(folder):
    """Return eight images of one size as a data set of one batch."""
    prepare_coco_mini(folder)
    images = load_coco(
        "train", data_dir=folder, bounding_box_format="rel_xyxy", shuffle_files=False
    ).take(8)
    for layer in (
        ResizeShortestSide(SIDE, longest_side=SIDE, bounding_box_format="rel_xyxy"),
        PadToCanvas((SIDE, SIDE), max_boxes=30, bounding_box_format="rel_xyxy"),
    ):
        images = images.map(layer)
    return images.batch(8).cache()


class AddCoordinates(keras.layers.Layer):
    """Append every pixel's coordinates as two channels (CoordConv, Liu et al. 2018)."""

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
    """Return a few convolutions, which learn in a fraction of a ResNet's time."""
    images = keras.Input((None, None, 3), name="images")
    x = AddCoordinates()(keras.layers.Rescaling(1 / 127.5, offset=-1)(images))
    for filters, stride in ((16, 2), (32, 2), (64, 2), (64, 1), (128, 2), (128, 1)):
        x = keras.layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
    backbone = keras.Model(images, x, name="small_backbone")
    backbone.pyramid_level_inputs = {"P4": backbone.layers[-1].name}
    return backbone


def build(detector, **settings):
    """Build a small detector, without dropout."""
    return detector(
        small_backbone(),
        num_classes=80,
        bounding_box_format="rel_xyxy",
        num_queries=30,
        hidden_dim=128,
        num_encoder_layers=1,
        num_decoder_layers=3,
        feed_forward_dim=256,
        dropout=0.0,
        **settings,
    )


def steps_to_learn(model, batch, slow_layers=()):
    """Train until AP50 is above 0.9, and return after how many steps it was."""
    rate, slow_rate = (
        keras.optimizers.schedules.CosineDecay(0.0, MOST_STEPS, warmup_target=top, warmup_steps=20)
        for top in (1e-3, 1e-4)
    )
    optimizer = detr_optimizer(
        model, rate, rate, slow_layers=slow_layers, slow_learning_rate=slow_rate
    )
    model.compile(optimizer)
    for step in range(STEPS_AT_ONCE, MOST_STEPS + 1, STEPS_AT_ONCE):
        model.fit(batch.repeat(), steps_per_epoch=STEPS_AT_ONCE, verbose=0)
        figures = evaluate_detector(model, batch)
        if figures["AP50"] > 0.9:
            return step
    raise AssertionError(f"not learned in {MOST_STEPS} steps: {figures}")


def main(folder):
    """Print the steps that each took, and how far its boxes differ from image to image."""
    keras.utils.set_random_seed(20200526)
    batch = eight_images(folder)
    inputs = {name: next(iter(batch))[name].numpy() for name in ("images", "pixel_mask")}
    results = {}
    for name, model, slow_layers in (
        (
            "deformable_detr",
            build(DeformableDETR, num_levels=2),
            ["sampling_offsets", "reference_points"],
        ),
        ("detr", build(DETR), ()),
    ):
        steps = steps_to_learn(model, batch, slow_layers)
        boxes = model.predict(inputs, verbose=0)["boxes"]
        changes = [float(np.abs(other - boxes[0]).max()) for other in boxes[1:]]
        results[name] = {"steps": steps, "least_change": min(changes)}
    print(json.dumps(results))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
