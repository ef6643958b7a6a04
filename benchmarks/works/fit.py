"""Steps of `fit` on batches that come from the host, beside those of a loop around transformers.

A run takes one step more, and measures without the first and without what `fit` does once an epoch,
which a few steps would be charged too much for.
"""

import time
from functools import partial

import keras
from programs import random_images, random_targets

from works import detector, peers


def ours(family, batch, height, width, num_steps, policy="float32"):
    """Return a callable that trains our model for some steps."""
    keras.config.set_dtype_policy(policy)
    model = detector.build(family)
    model.compile()
    elements = {
        "images": random_images(batch, height, width),
        "bounding_boxes": random_targets(batch),
    }

    def batches():
        for _ in range(num_steps + 1):
            yield elements

    def run():
        watch = StopWatch(num_steps)
        model.fit(batches(), steps_per_epoch=num_steps + 1, verbose=0, callbacks=[watch])
        return watch.seconds

    return run


class StopWatch(keras.callbacks.Callback):
    """Measure the seconds from the end of the first step to that of the last."""

    # Keras would wait for the losses of every step otherwise.
    async_safe = True

    def __init__(self, num_steps):
        super().__init__()
        self.num_steps = num_steps
        self.start = self.seconds = 0.0

    def on_train_batch_end(self, batch, logs=None):
        """Wait for the first and for the last step."""
        if batch in (0, self.num_steps):
            float(logs["loss"])
            self.seconds = time.perf_counter() - self.start
            self.start = time.perf_counter()


def transformers(family, batch, height, width, num_steps, is_compiled=False, dtype=None):
    """Return a callable that trains transformers' model for some steps."""
    step = peers.training(family, batch, height, width, is_compiled, dtype)

    def run():
        step()
        start = time.perf_counter()
        for _ in range(num_steps):
            step()
        return time.perf_counter() - start

    return run


CONTENDERS = {
    "keras_detr": ours,
    "keras_detr, bfloat16": partial(ours, policy="mixed_bfloat16"),
    "transformers": transformers,
    "transformers, compiled": partial(transformers, is_compiled=True),
    "transformers, bfloat16": partial(transformers, dtype="bfloat16"),
    "transformers, bfloat16, compiled": partial(transformers, is_compiled=True, dtype="bfloat16"),
}
