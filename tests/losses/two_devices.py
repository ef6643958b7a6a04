# ruff: noqa: E402
"""Compute the loss on two logical devices and on one; a script, run by its test.

Logical devices must be made before TensorFlow starts, so a process of its own does it.
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

from keras_detr.losses import HungarianLoss
from tests.losses.detection_batches import (
    pad,
    random_objects,
    random_predictions,
    random_tokens,
    split_layers,
)

NUM_CLASSES = 5
FAMILIES = {
    "detr": (HungarianLoss.detr, NUM_CLASSES + 1),
    "deformable": (HungarianLoss.deformable_detr, NUM_CLASSES),
}
# The first two images are one replica's, the others the other's.
COUNTS = {"unequal": [1, 0, 7, 2], "a replica without": [0, 0, 3, 5], "none": [0, 0, 0, 0]}
BATCHES = [("detr", name) for name in COUNTS] + [("deformable", "a replica without")]


def step(loss, scale, boxes, classes, logits, predicted, *tokens):
    """Return parts, total, and gradients to a variable, logits and boxes."""
    with tf.GradientTape() as tape:
        tape.watch([logits, predicted])
        if tokens:
            tokens = tokens[0] * scale, tokens[1]
        y_pred = split_layers(logits * scale, predicted, *tokens)
        components = loss.components({"boxes": boxes, "classes": classes}, y_pred)
        total = loss.total(components)
    gradients = tape.gradient(total, [scale, logits, predicted], unconnected_gradients="zero")
    parts = {name: value for name, value in components.items() if name.endswith("_loss")}
    return parts, total, gradients


def main(folder):
    """Write an .npz file for each family, batch, and number of devices."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        mirrored = tf.Variable(1.0, aggregation=tf.VariableAggregation.SUM)
    single = tf.Variable(1.0)
    for family, name in BATCHES:
        build, num_logits = FAMILIES[family]
        loss, counts = build(assignment="host"), COUNTS[name]
        rng = np.random.default_rng(1)
        y_true = pad(random_objects(rng, counts, NUM_CLASSES), 8)
        predictions = [*random_predictions(rng, 4, 2, 12, num_logits)]
        if family == "deformable":
            predictions += random_tokens(rng, 4, 30, num_logits)
        arrays = [y_true["boxes"], y_true["classes"]]
        arrays += [x.astype("float32") for x in predictions]

        def of_replica(context, arrays=arrays):
            i = context.replica_id_in_sync_group
            return tuple(tf.constant(array[2 * i : 2 * i + 2]) for array in arrays)

        @tf.function
        def distributed(values, loss=loss):
            return strategy.run(lambda *xs: step(loss, mirrored, *xs), values)

        values = strategy.experimental_distribute_values_from_function(of_replica)
        parts, total, gradients = distributed(values)
        path = f"{folder}/{family} {name}"
        np.savez(
            f"{path} 2.npz",
            total=strategy.reduce("SUM", total, axis=None),
            variable=strategy.reduce("SUM", gradients[0], axis=None),
            logits=np.concatenate([x.numpy() for x in strategy.unwrap(gradients[1])]),
            boxes=np.concatenate([x.numpy() for x in strategy.unwrap(gradients[2])]),
            **{key: strategy.reduce("MEAN", x, axis=None) for key, x in parts.items()},
        )
        parts, total, gradients = step(loss, single, *(tf.constant(x) for x in arrays))
        variable, logits, boxes = gradients
        np.savez(
            f"{path} 1.npz", total=total, variable=variable, logits=logits, boxes=boxes, **parts
        )


if __name__ == "__main__":
    main(sys.argv[1])
