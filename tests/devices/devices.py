"""Train on one device and on several, and write both results; a script, run by its test."""

import contextlib
import pathlib
import sys

import keras
import numpy as np

from tests.devices.joining import make_several_devices, several_devices
from tests.models.detectors import DETECTORS, inputs_of, smooth_detector, tiny_batch


def results(name, scope):
    """Return arrays by name: logs, weights, and what is predicted for five images."""
    with scope:
        model = built(name)
        # Keras takes JAX' distribution from where the model is used, too.
        return trained(model, DETECTORS[name])


def built(name):
    """Return a model, compiled."""
    model = smooth_detector(name, num_decoder_layers=1)
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    return model


def trained(model, detector):
    """Return what `results` does."""
    # The second batch has one image for all devices.
    batch = tiny_batch(batch_size=5)
    x, y = inputs_of(batch), batch["bounding_boxes"]
    found = {}
    if not detector.has_denoising:
        logs = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
        found |= {f"evaluate {key}": value for key, value in logs.items()}
        found |= {f"predict {key}": value for key, value in model.predict(x, 4, verbose=0).items()}
        kind = type(model.predict_function).__name__
        found["is divided"] = np.array(kind == "DividedPrediction")
    logs = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    found |= {f"fit {key}": value for key, value in logs.items()}
    weights = map(keras.ops.convert_to_numpy, model.trainable_variables)
    return found | {f"weight {index}": value for index, value in enumerate(weights)}


def main(name, folder):
    """Write one.npz and several.npz."""
    folder = pathlib.Path(folder)
    make_several_devices()
    np.savez(folder / "one.npz", **results(name, contextlib.nullcontext()))
    np.savez(folder / "several.npz", **results(name, several_devices()))


if __name__ == "__main__":
    main(*sys.argv[1:])
