"""Detectors as TensorFlow SavedModels."""

import errno
import os

import keras

from keras_detr.export.metadata import metadata_of
from keras_detr.export.raw_image_detector import RawImageDetector

# The program's name for who loads it in Python, and the one that other tools know it by.
PROGRAM = "serve"
SIGNATURE = "serving_default"


def write_saved_model(model, folder, input_dtype):
    """Write a detector as a SavedModel: `serve(images)`, and a function for each of its metadata.

    Args:
        model: `SetPredictionDetector`.
        folder: path of a folder, empty or new.
        input_dtype: str, of the images.

    Raises:
        OSError: the disk is full.
    """
    import tensorflow as tf

    # It isn't told of the model: what the program reads is tracked, and would be written twice.
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
