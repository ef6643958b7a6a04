"""HungarianLoss alone, matching and gradient included, for all six layers of a batch."""

import keras
import numpy as np
from programs import compiled

LAYERS, NUM_CLASSES = 6, 80


def arrays(batch, queries, objects):
    """Return logits and boxes of all layers, true boxes and classes."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(batch, LAYERS, queries, NUM_CLASSES + 1))
    boxes = generator.uniform(0.2, 0.5, (batch, LAYERS, queries, 4))
    true_boxes = generator.uniform(0.2, 0.5, (batch, objects, 4))
    classes = generator.integers(0, NUM_CLASSES, (batch, objects)).astype("int32")
    return *(array.astype("float32") for array in (logits, boxes, true_boxes)), classes


def ours(batch, queries, objects):
    """Return a callable that computes the loss, and its gradients on TensorFlow and JAX."""
    from keras_detr.losses import HungarianLoss

    loss = HungarianLoss.detr()

    def total(logits, boxes, true_boxes, classes):
        y_pred = {
            "classification": logits[:, -1],
            "box": boxes[:, -1],
            "aux_classification": logits[:, :-1],
            "aux_box": boxes[:, :-1],
        }
        return loss({"boxes": true_boxes, "classes": classes}, y_pred)

    values = arrays(batch, queries, objects)
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return compiled(jax.value_and_grad(total, (0, 1)), *values)
    if backend == "tensorflow":
        import tensorflow as tf

        def gradients(logits, boxes, *truth):
            with tf.GradientTape() as tape:
                tape.watch([logits, boxes])
                value = total(logits, boxes, *truth)
            return value, tape.gradient(value, [logits, boxes])

        return compiled(gradients, *values)
    return compiled(total, *values)


CONTENDERS = {"keras_detr": ours}
