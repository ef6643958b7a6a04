"""The door of exporting: check, write beside the wanted place, and move there."""

import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from keras_detr.export.litert_file import write_litert
from keras_detr.export.onnx_file import write_onnx
from keras_detr.export.saved_model import write_saved_model
from keras_detr.ops.backends import can_trace_for_tensorflow

INPUT_DTYPES = ("uint8", "float32")


class Format(NamedTuple):
    """Say how a format is written.

    Attributes:
        write: callable of (model, path, input_dtype).
        suffix: str, how a file's name ends; "" for a folder.
        packages: tuple of str, what writing it needs beside TensorFlow.
        takes_half: bool, whether it holds programs of half precision.
    """

    write: Callable
    suffix: str
    packages: tuple = ()
    takes_half: bool = False


FORMATS = {
    "tf_saved_model": Format(write_saved_model, "", takes_half=True),
    "onnx": Format(write_onnx, ".onnx", packages=("onnx", "tf2onnx")),
    "litert": Format(write_litert, ".tflite"),
}


def export_detector(model, filepath, format="tf_saved_model", input_dtype="uint8"):
    """Write a detector as a file that needs neither keras_detr nor Keras; see its `export`.

    Args:
        model: `SetPredictionDetector`.
        filepath: str or path.
        format: str, one of `FORMATS`.
        input_dtype: str, one of `INPUT_DTYPES`.

    Raises:
        ValueError: an argument can't be understood, something else is at `filepath`, or the format
            can't hold the model.
        NotImplementedError: the Keras backend isn't TensorFlow.
        ImportError: a package is missing.
    """
    path = Path(filepath)
    if format not in FORMATS:
        raise ValueError(f"`format` must be one of {list(FORMATS)}. Received: {format!r}.")
    if input_dtype not in INPUT_DTYPES:
        raise ValueError(f"`input_dtype` must be one of {INPUT_DTYPES}. Received: {input_dtype!r}.")
    _check_path(path, format)
    _check_setting(model, format)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as unfinished:
        finished = Path(unfinished) / path.name
        FORMATS[format].write(model, finished, input_dtype)
        if path.is_dir():
            # A folder can't replace another one that isn't empty.
            os.replace(path, Path(unfinished) / "before")
        os.replace(finished, path)


def _check_path(path, format):
    suffix = FORMATS[format].suffix
    if path.suffix != suffix and (suffix or path.suffix in _suffixes()):
        wanted = f"a file's name ending in {suffix!r}" if suffix else "a folder's name"
        raise ValueError(f"`filepath` must be {wanted} for {format!r}. Received: {str(path)!r}.")
    is_taken = path.is_dir() if suffix else _holds_something_else(path)
    if path.exists() and is_taken:
        raise ValueError(
            f"`filepath` must name a new place or an earlier export as {format!r}, which is "
            f"replaced. Something else is at {str(path)!r}."
        )


def _suffixes():
    return {format.suffix for format in FORMATS.values()} - {""}


def _holds_something_else(folder):
    if not folder.is_dir():
        return True
    return not (folder / "saved_model.pb").is_file() and any(folder.iterdir())


def _check_setting(model, format):
    if not can_trace_for_tensorflow():
        raise NotImplementedError(
            "Exporting needs Keras' TensorFlow backend: save the model (`model.save('model.keras')`"
            "), load it in a process with the environment variable KERAS_BACKEND=tensorflow, and "
            "export there. Weights are the same on all backends."
        )
    wanted = FORMATS[format]
    half = {part.compute_dtype for part in model._flatten_layers()} - {"float32"}
    if half and not wanted.takes_half:
        raise ValueError(
            f"`format` {format!r} holds float32 only, and the model computes in "
            f"{sorted(half)}. Build it under the dtype policy 'float32' "
            "(`keras.config.set_dtype_policy`), load its weights (`save_weights`, `load_weights`: "
            "they are float32), and export that; or export as 'tf_saved_model'."
        )
    missing = [name for name in wanted.packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"`format` {format!r} needs {' and '.join(missing)}, which isn't installed: "
            '`pip install "keras_detr[export]"`.'
        )
