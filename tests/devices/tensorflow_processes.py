"""Train in one or several processes of TensorFlow; a script, run by its test."""

import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from keras_detr.ops.backends import current
from keras_detr.ops.processes import first_process_first, gather
from tests.devices.joining import COUNT, INDEX, all_processes
from tests.models.detectors import DETECTORS, inputs_of, smooth_detector, tiny_batch


def built():
    """Return a detector with denoising queries, compiled."""
    model = smooth_detector("dino_detr", num_decoder_layers=1)
    # A program takes longer to compile than one process takes for the few steps.
    settings = {"steps_per_execution": 2} if COUNT > 1 else {"run_eagerly": True}
    model.compile(optimizer=keras.optimizers.SGD(0.1), **settings)
    return model


def trained(model):
    """Return arrays by name: logs and weights after two epochs of a batch of four and one of one.

    The last image has no objects.
    """
    batch = tiny_batch(batch_size=5)
    # A function of Python, as loaders have, in each process for all images.
    pairs = tf.data.Dataset.from_tensor_slices((inputs_of(batch), batch["bounding_boxes"]))
    pairs = pairs.map(lambda x, y: (with_python(x), y)).batch(4)
    logs = model.fit(pairs, epochs=2, verbose=0).history
    weights = map(keras.ops.convert_to_numpy, model.trainable_variables)
    return {f"fit {key}": value for key, value in logs.items()} | {
        f"weight {index}": value for index, value in enumerate(weights)
    }


def with_python(inputs):
    """Return inputs whose images have passed through NumPy."""
    images = tf.numpy_function(lambda array: array + np.float32(1), [inputs["images"]], tf.float32)
    return {**inputs, "images": tf.ensure_shape(images, inputs["images"].shape)}


def predicted():
    """Return arrays by name, of as many images as this process' index says, and two more."""
    keras.utils.set_random_seed(0)
    model = DETECTORS["detr"].build(num_decoder_layers=1)
    model.compile(run_eagerly=True)
    images = inputs_of(tiny_batch(batch_size=5))
    own = {name: array[: INDEX + 2] for name, array in images.items()}
    found = {f"predict {key}": value for key, value in model.predict(own, 2, verbose=0).items()}
    if INDEX == 0:
        model.preprocessor = None
        assert len(model.detect([images["images"][0].astype("uint8")])) == 1
    return found


def check_processes():
    """Check what the backend says of two processes."""
    assert current().process() == (INDEX, 2)
    # Of any lengths, also none at all.
    assert current().gather_bytes(b"\x00x" * INDEX) == [b"", b"\x00x"]
    assert current().gather_bytes(b"") == [b"", b""]
    assert gather({"index": np.array([INDEX])}) == [{"index": 0}, {"index": 1}]
    try:
        with first_process_first():
            if INDEX == 0:
                raise ValueError("The disk is full.")
    except (RuntimeError, ValueError) as error:
        assert "The disk is full." in str(error)
        assert isinstance(error, RuntimeError) == bool(INDEX)
    else:
        raise AssertionError("The first process failed, and this one didn't.")


def main(folder):
    """Write "<index>.npz"."""
    # Detectors may also be used where they are built.
    with all_processes(has_chief=True):
        results = trained(built()) | predicted()
    np.savez(pathlib.Path(folder) / f"{INDEX}.npz", **results)
    if COUNT > 1:
        check_processes()


if __name__ == "__main__":
    main(sys.argv[1])
