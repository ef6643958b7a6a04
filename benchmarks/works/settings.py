"""What settings of `compile` change: some steps of `fit`, of a small and of a published model."""

from functools import partial

import keras
from programs import random_images, random_targets

from works import detector


def small_model():
    """Build the quick start's detector."""
    from examples.quickstart import build_model

    return build_model([f"class {index}" for index in range(3)], num_steps=1000)


MODELS = {"small": small_model, "detr": partial(detector.build, "detr")}


def steps_of_fit(
    size,
    num_steps,
    batch,
    height,
    width,
    jit_compile=False,
    steps_per_execution=1,
    num_accumulated=None,
    policy="float32",
):
    """Return a callable that trains for some steps."""
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise ImportError("it is measured on TensorFlow")
    keras.config.set_dtype_policy(policy)
    model = MODELS[size]()
    optimizer = model.default_optimizer()
    for group in optimizer.optimizers:
        group.gradient_accumulation_steps = num_accumulated
    model.compile(optimizer, jit_compile=jit_compile, steps_per_execution=steps_per_execution)
    targets = random_targets(batch, num_objects=3, num_classes=3)
    if model.bounding_box_format.startswith("rel_"):
        targets["boxes"] = targets["boxes"] / 256
    elements = {"images": random_images(batch, height, width), "bounding_boxes": targets}
    batches = tf.data.Dataset.from_tensors(elements).repeat(num_steps)
    return lambda: model.fit(batches, verbose=0)


CONTENDERS = {
    "keras_detr": steps_of_fit,
    "keras_detr, steps_per_execution=25": partial(steps_of_fit, steps_per_execution=25),
    "keras_detr, jit_compile": partial(steps_of_fit, jit_compile=True),
    "keras_detr, both": partial(steps_of_fit, jit_compile=True, steps_per_execution=25),
    "keras_detr, gradients of 4 batches": partial(steps_of_fit, num_accumulated=4),
    "keras_detr, bfloat16": partial(steps_of_fit, policy="mixed_bfloat16"),
}
