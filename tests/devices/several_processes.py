"""Train in one or several processes, until one is killed; a script, run by its test."""

import os
import pathlib
import signal
import sys

import keras
import numpy as np
import tensorflow as tf

from keras_detr.evaluation import COCOEvaluation
from keras_detr.models import EpochLog
from tests.devices.joining import COUNT, INDEX, all_processes
from tests.models.detectors import DETECTORS, inputs_of, tiny_batch


class Death(keras.callbacks.Callback):
    """Kill the last process within the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.epoch == 1 and batch == 1 and INDEX == COUNT - 1:
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder, is_to_die):
    """Train, and write what each process has in the end to "<index>.npz"."""
    folder = pathlib.Path(folder)
    scope = all_processes()
    keras.utils.set_random_seed(0)
    with scope:
        model = DETECTORS["detr"].build(num_decoder_layers=1)
        model.compile(optimizer=keras.optimizers.SGD(0.1))
    batch = {**tiny_batch(batch_size=7), "image_size": np.full((7, 2), (64, 96))}
    # What every process gets: batches of four and of three images, the last without objects.
    pairs = tf.data.Dataset.from_tensor_slices((inputs_of(batch), batch["bounding_boxes"]))
    elements = tf.data.Dataset.from_tensor_slices(batch)
    callbacks = [
        COCOEvaluation(elements.batch(2)),
        keras.callbacks.ModelCheckpoint(folder / "model.keras"),
        EpochLog(folder / "log.csv"),
        keras.callbacks.BackupAndRestore(folder / "backup", delete_checkpoint=False),
    ]
    callbacks += [Death()] * is_to_die
    logs = model.fit(
        pairs.batch(4), epochs=3, validation_data=pairs.batch(4), callbacks=callbacks
    ).history
    own = {name: array[INDEX : INDEX + 3] for name, array in inputs_of(batch).items()}
    found = model.predict(own, verbose=0)
    results = {f"fit {key}": value for key, value in logs.items()}
    results |= {f"predict {key}": value for key, value in found.items()}
    weights = map(keras.ops.convert_to_numpy, model.trainable_variables)
    results |= {f"weight {index}": value for index, value in enumerate(weights)}
    np.savez(folder / f"{INDEX}.npz", **results)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "die")
