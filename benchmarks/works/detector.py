"""Whole detectors: inference and training steps, beside transformers', kmodels' and the limit."""

from functools import partial

import programs
from programs import random_images, random_mask, random_masks, random_targets

from works import peers
from works.limits import convolutions_and_products

PRESETS = {
    "detr": "detr_r50",
    "detr_dc5": "detr_r50_dc5",
    "detr_segmenter": "detr_r50_panoptic",
    "deformable_detr": "deformable_detr_r50",
    "dino": "dino_detr_r50",
}


def build(family, num_queries=None):
    """Build our model, with random weights."""
    import keras_detr

    return keras_detr.SetPredictionDetector.from_preset(
        PRESETS[family], load_weights=False, bounding_box_format="xyxy", num_queries=num_queries
    )


def ours(
    family,
    mode,
    batch,
    height,
    width,
    is_masked=False,
    is_compiled=False,
    policy=None,
    num_queries=None,
):
    """Return a callable that runs our model."""
    import keras

    if policy:
        keras.config.set_dtype_policy(policy)
    model = build(family, num_queries)
    inputs = random_images(batch, height, width)
    if is_masked:
        inputs = {"images": inputs, "pixel_mask": random_mask(batch, height, width)}
    if is_compiled and mode == "training":
        raise ImportError("only its inference is measured so")
    if is_compiled:
        return programs.prediction(model, inputs, jit_compile=True)
    if mode == "inference":
        return programs.inference(model, inputs, return_auxiliary=False)
    targets = random_targets(batch)
    if model.has_masks:
        targets["masks"] = random_masks(targets["boxes"], height, width)
    return programs.training_step(model, inputs, targets)


def transformers(family, mode, is_masked=False, is_compiled=False, dtype=None, **size):
    """Return a callable that runs transformers' model."""
    size = {**size, "is_compiled": is_compiled, "dtype": dtype}
    if mode == "training":
        return peers.training(family, **size)
    return peers.inference(family, **size, is_masked=is_masked)


def kmodels(family, mode, batch, height, width, is_masked=False):
    """Return a callable that runs the model of kmodels, which knows neither masks nor training."""
    import kmodels.models

    if family != "detr" or mode != "inference" or is_masked:
        raise ImportError("it has inference of DETR without masks only")
    model = kmodels.models.detr.DETRResNet50(
        weights=None, input_shape=(height, width, 3), include_normalization=False
    )
    return programs.inference(model, random_images(batch, height, width) / 255)


def limit(family, mode, batch, height, width, is_masked=False):
    """Return a callable that computes the model's convolutions and matrix products alone."""
    return convolutions_and_products(family, mode, batch, height, width)


CONTENDERS = {
    "keras_detr": ours,
    "keras_detr, compiled": partial(ours, is_compiled=True),
    "keras_detr, bfloat16": partial(ours, policy="mixed_bfloat16"),
    "keras_detr, bfloat16, compiled": partial(ours, is_compiled=True, policy="mixed_bfloat16"),
    "transformers": transformers,
    "transformers, compiled": partial(transformers, is_compiled=True),
    "transformers, bfloat16": partial(transformers, dtype="bfloat16"),
    "transformers, bfloat16, compiled": partial(transformers, is_compiled=True, dtype="bfloat16"),
    "kmodels": kmodels,
    "limit": limit,
}
