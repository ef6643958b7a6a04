"""Write detectors as TensorFlow SavedModels."""

import errno
import os

import keras

from keras_detr.export.metadata import metadata_of
from keras_detr.export.raw_image_detector import RawImageDetector

# The name of the program in Python, and the one for other tools.
PROGRAM = "serve"
SIGNATURE = "serving_default"


def write_saved_model(model, folder, input_dtype):
    """Write a detector as a SavedModel, with `serve(images)` and a function for each metadatum.

    Raises:
        OSError: the disk is full.
    """
    import tensorflow as tf

    # The model isn't tracked: the program tracks its variables, which would be written twice.
    archive = keras.export.ExportArchive()
    images = keras.InputSpec(shape=(None, None, None, 3), dtype=input_dtype, name="images")
    archive.add_endpoint(PROGRAM, RawImageDetector(model), input_signature=[images])
    for name, value in metadata_of(model).items():
        archive.add_endpoint(name, _constant(name, value), input_signature=[])
    try:
        archive.write_out(str(folder), verbose=False)
    except tf.errors.ResourceExhaustedError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def _constant(name, value):
    def call():
        return {name: keras.ops.convert_to_tensor(value, "string")}

    return call
