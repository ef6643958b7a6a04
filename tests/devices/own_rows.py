"""Train and evaluate on files of which each process reads its own; a script, run by its test."""

import pathlib
import sys

import keras
import numpy as np

from keras_detr.datasets import load_folder
from keras_detr.evaluation import COCOEvaluation
from keras_detr.preprocessing import evaluation_batches, training_batches
from tests.devices.joining import COUNT, INDEX, all_processes
from tests.models.detectors import DETECTORS

FORMAT = {"bounding_box_format": "rel_xyxy"}
SIZES = (64, 80)


def main(data, folder):
    """Write the logs and weights of each process to "<index>.npz"."""
    scope = all_processes()
    keras.utils.set_random_seed(0)
    data = load_folder(data, **FORMAT)
    with scope:
        settings = {"num_classes": len(data.class_names), "class_names": data.class_names}
        model = DETECTORS["detr"].build(num_decoder_layers=1, **settings, **FORMAT)
        # Programs would be compiled for each canvas, but JAX' processes need them.
        is_eager = keras.backend.backend() == "tensorflow"
        model.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=is_eager)
    train = training_batches(data.train, SIZES, 4, seed=3, **FORMAT)
    valid = evaluation_batches(data.train, SIZES, 2, **FORMAT)
    if COUNT > 1:
        check_refused(model, data, train)
    evaluation = COCOEvaluation(valid)
    logs = model.fit(train, steps_per_epoch=3, callbacks=[evaluation], verbose=0).history
    results = {f"fit {key}": value for key, value in logs.items()}
    weights = map(keras.ops.convert_to_numpy, model.trainable_variables)
    results |= {f"weight {index}": value for index, value in enumerate(weights)}
    np.savez(pathlib.Path(folder) / f"{INDEX}.npz", **results)


def check_refused(model, data, train):
    """Check what `fit` refuses before it begins."""
    own = training_batches(data.train, SIZES, 4, seed=3, process=(INDEX, COUNT), **FORMAT)
    assert "the argument `process`" in error_of(model, own)
    if keras.backend.backend() == "jax":
        model.run_eagerly = True
        assert "`run_eagerly=True`" in error_of(model, train)
        model.run_eagerly = False


def error_of(model, batches):
    try:
        model.fit(batches, steps_per_epoch=1)
    except (NotImplementedError, ValueError) as error:
        return str(error)
    raise AssertionError("`fit` raises no error.")


if __name__ == "__main__":
    main(*sys.argv[1:])
