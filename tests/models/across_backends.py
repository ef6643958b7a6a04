"""Save tiny detectors on one backend, and compare them with what another backend loads.

    KERAS_BACKEND=torch python -m tests.models.across_backends save folder
    KERAS_BACKEND=jax python -m tests.models.across_backends load folder other_folder

"load" prints a row for each detector of a folder and each kind of file: how far boxes, the
optimizer's state and the next step's loss are from what they were where it was saved.
"""

import json
import pathlib
import sys

import keras
import numpy as np
from keras import ops

from keras_detr.models import SetPredictionDetector
from tests.models.detectors import DETECTORS, inputs_of, tiny_batch

NAMES = ("detr", "deformable_detr")
BATCH = tiny_batch(batch_size=4)


def state_of(optimizer):
    return [np.asarray(ops.convert_to_numpy(variable)) for variable in optimizer.variables]


def computed(model):
    """Return boxes in pixels, and the loss of the next step, without compiling a program."""
    inputs = inputs_of(BATCH)
    outputs = model(inputs, training=True)
    loss = model.default_loss()(model.encode_targets(inputs, BATCH["bounding_boxes"]), outputs)
    boxes = model.decode_predictions(outputs, inputs)["boxes"]
    return ops.convert_to_numpy(boxes), ops.convert_to_numpy(loss)


def save(folder):
    """Train each detector for one step, save it in every way, and note what it computes."""
    for name in NAMES:
        keras.utils.set_random_seed(0)
        model = DETECTORS[name].build()
        model.compile()
        model.train_on_batch(inputs_of(BATCH), BATCH["bounding_boxes"])
        place = folder / name
        place.mkdir(parents=True)
        model.save(place / "model.keras")
        model.save_weights(place / "model.weights.h5")
        model.save_to_preset(place / "preset")
        np.savez(place / "state.npz", *state_of(model.optimizer))
        boxes, loss = computed(model)
        np.savez(place / "expected.npz", boxes=boxes, loss=loss)


def loaded(name, place):
    """Yield each kind of file, and the model loaded from it."""
    yield ".keras", keras.saving.load_model(place / "model.keras")
    model = DETECTORS[name].build()
    model.compile()
    model.optimizer.build(model.trainable_variables)
    model.load_weights(place / "model.weights.h5")
    yield "weights", model
    yield "preset", SetPredictionDetector.from_preset(place / "preset")


def compare(folder):
    """Return a row for each detector and kind of file."""
    rows = []
    for name in NAMES:
        expected = np.load(folder / name / "expected.npz")
        saved_state = list(np.load(folder / name / "state.npz").values())
        for kind, model in loaded(name, folder / name):
            boxes, loss = computed(model)
            row = {
                "name": name,
                "kind": kind,
                "boxes": distance(boxes, expected["boxes"]),
                "loss": distance(loss, expected["loss"]),
            }
            # A preset has no optimizer.
            if kind != "preset":
                pairs = zip(state_of(model.optimizer), saved_state, strict=True)
                row["state"] = max(distance(a, b) for a, b in pairs)
            rows.append(row)
    return rows


def distance(values, others):
    return float(np.abs(values - others).max())


if __name__ == "__main__":
    action, *folders = sys.argv[1:]
    if action == "save":
        save(pathlib.Path(folders[0]))
    else:
        print(json.dumps([row for folder in folders for row in compare(pathlib.Path(folder))]))
