"""Write detectors as LiteRT (formerly TensorFlow Lite) files."""

import json
import tempfile
import zipfile

from keras_detr.export.metadata import metadata_of
from keras_detr.export.saved_model import SIGNATURE, write_saved_model


def write_litert(model, path, input_dtype):
    """Write a detector as a LiteRT file of builtin operations, with its metadata as JSON files.

    Raises:
        ValueError: the model has operations that LiteRT doesn't have.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        write_saved_model(model, folder, input_dtype)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        # Weights become constants: LiteRT would initialize variables with zeros.
        converter.experimental_enable_resource_variables = False
        try:
            content = converter.convert()
        except Exception as error:
            raise ValueError(
                f"`format` 'litert' can't hold this model: {error} Export it as 'tf_saved_model' "
                "or 'onnx'."
            ) from error
    path.write_bytes(content)
    # As LiteRT's own metadata: a zip archive at the end of the file, which runtimes ignore.
    with zipfile.ZipFile(path, "a") as archive:
        for name, value in metadata_of(model).items():
            archive.writestr(f"{name}.json", json.dumps(value))
