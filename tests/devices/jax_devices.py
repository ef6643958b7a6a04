"""Train on one device and on four, and write both results; a script, run by its test."""

import pathlib
import sys

import keras
import numpy as np

from keras_detr import ContrastiveDenoising
from keras_detr.ops.backends.jax_devices import DividedPrediction
from tests.models.detectors import DETECTORS, inputs_of, tiny_batch


def results(name):
    """Return arrays by name: logs, weights, and what is predicted for seven images."""
    keras.utils.set_random_seed(0)
    detector = DETECTORS[name]
    settings = {"num_decoder_layers": 1}
    if detector.has_denoising:
        settings["denoising"] = ContrastiveDenoising(label_noise_ratio=0, box_noise_scale=0)
    model = detector.build(**settings)
    # A new deformable detector samples at the very centers of pixels, where its gradient jumps.
    generator = np.random.default_rng(0)
    for variable in model.trainable_variables:
        value = keras.ops.convert_to_numpy(variable)
        variable.assign(value + generator.normal(0, 0.02, value.shape))
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    # The second batch has three images, and no device may be without one.
    batch = tiny_batch(batch_size=7)
    x, y = inputs_of(batch), batch["bounding_boxes"]
    found = {}
    if not detector.has_denoising:
        logs = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
        found |= {f"evaluate {key}": value for key, value in logs.items()}
        found |= {f"predict {key}": value for key, value in model.predict(x, 4, verbose=0).items()}
        has_distribution = keras.distribution.distribution() is not None
        assert isinstance(model.predict_function, DividedPrediction) == has_distribution
    logs = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    found |= {f"fit {key}": value for key, value in logs.items()}
    weights = map(keras.ops.convert_to_numpy, model.trainable_variables)
    return found | {f"weight {index}": value for index, value in enumerate(weights)}


def main(name, folder):
    """Write one.npz and four.npz."""
    folder = pathlib.Path(folder)
    np.savez(folder / "one.npz", **results(name))
    assert keras.distribution.get_device_count() == 4
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    np.savez(folder / "four.npz", **results(name))


if __name__ == "__main__":
    main(*sys.argv[1:])
