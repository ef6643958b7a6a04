"""DINO beside two-stage Deformable DETR, with random weights and as many queries."""

from functools import partial

import programs
from programs import random_images, random_targets

QUERIES = 900


def detector(preset, mode, batch, height, width, **overrides):
    """Return a callable that computes a model's outputs, or takes a training step."""
    import keras_detr

    model = keras_detr.SetPredictionDetector.from_preset(
        preset,
        load_weights=False,
        bounding_box_format="xyxy",
        num_queries=QUERIES,
        **overrides,
    )
    images = random_images(batch, height, width)
    if mode == "inference":
        return programs.inference(model, images, return_auxiliary=False)
    return programs.training_step(model, images, random_targets(batch))


two_stage = partial(detector, "deformable_detr_r50_two_stage")

CONTENDERS = {
    "keras_detr, DINO": partial(detector, "dino_detr_r50"),
    "keras_detr, DINO without denoising": partial(detector, "dino_detr_r50", denoising=None),
    "two-stage": two_stage,
    # As wide as DINO's.
    "two-stage, feed-forward 2048": partial(two_stage, feed_forward_dim=2048),
}
