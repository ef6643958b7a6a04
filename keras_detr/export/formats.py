"""Check an export, write it to a temporary place, and move it to its destination."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from keras_detr.checkpoints.files.atomic_files import (
    check_space,
    folder_beside,
    move_file,
    move_folder,
)
from keras_detr.export.litert_file import write_litert
from keras_detr.export.metadata import BOUNDING_BOX_FORMAT
from keras_detr.export.onnx_file import write_onnx
from keras_detr.export.saved_model import write_saved_model
from keras_detr.ops.backends import current
from keras_detr.ops.installed_packages import is_installed
from keras_detr.ops.keras_internals import flatten_layers

INPUT_DTYPES = ("uint8", "float32")

# The files of an exported SavedModel, as paths in its folder.
_SAVED_MODEL = r"saved_model\.pb|fingerprint\.pb|assets|variables(/variables\.(index|data-[-\w]+))?"


class Format(NamedTuple):
    """Describe how a format is written.

    Attributes:
        write: callable of the model, the `pathlib.Path` of the file or of an empty or new folder,
            and the images' dtype, a str.
        suffix: str, the suffix of a file; "" for a folder.
        packages: tuple of str, the packages that writing it needs beside TensorFlow.
        supports_half_precision: bool, whether its programs may compute in half precision.
    """

    write: Callable
    suffix: str
    packages: tuple = ()
    supports_half_precision: bool = False


FORMATS = {
    "tf_saved_model": Format(write_saved_model, "", supports_half_precision=True),
    "onnx": Format(write_onnx, ".onnx", packages=("onnx", "tf2onnx")),
    "litert": Format(write_litert, ".tflite"),
}


def export_detector(
    model: Any,
    filepath: str | os.PathLike[str],
    format: str = "tf_saved_model",
    *,
    input_dtype: str = "uint8",
) -> None:
    """Write a detector as a file that needs neither keras_detr nor Keras.

    The arguments and errors are those of `export`, a method of every `SetPredictionDetector`.

    Example:
        ```python
        from keras_detr.export import export_detector

        export_detector(model, "exported", format="tf_saved_model")
        ```
    """
    path = Path(filepath)
    if format not in FORMATS:
        raise ValueError(f"`format` must be one of {list(FORMATS)}. Received: {format!r}.")
    if input_dtype not in INPUT_DTYPES:
        raise ValueError(f"`input_dtype` must be one of {INPUT_DTYPES}. Received: {input_dtype!r}.")
    _check_path(path, format)
    _check_support(model, format)
    path.parent.mkdir(parents=True, exist_ok=True)
    path = Path(os.path.realpath(path))
    with folder_beside(path) as folder:
        check_space(folder, 4 * model.count_params())
        finished = folder / path.name
        FORMATS[format].write(model, finished, input_dtype)
        move = move_folder if finished.is_dir() else move_file
        move(finished, path)


def _check_path(path, format):
    suffix = FORMATS[format].suffix
    suffixes = [known.suffix for known in FORMATS.values()]
    if path.suffix != suffix and (suffix or path.suffix in suffixes):
        wanted = f"a file's name ending in {suffix!r}" if suffix else "a folder's name"
        raise ValueError(f"`filepath` must be {wanted} for {format!r}. Received: {str(path)!r}.")
    foreign = foreign_files(path, is_folder=not suffix)
    if foreign:
        named = ", ".join(map(repr, foreign[:5])) + (", ..." if len(foreign) > 5 else "")
        raise ValueError(
            f"`filepath` must name a new place or an earlier export as {format!r}, which is "
            f"replaced. At {str(path)!r} there is what no export has written: {named}. Export to "
            "another place, or move that away."
        )


def foreign_files(path, is_folder):
    """List the files at a path that no export has written, as str relative to a folder."""
    if not path.exists():
        return []
    if path.is_dir() != is_folder:
        return [path.name]
    if not is_folder:
        return [] if _is_export(path) else [path.name]
    is_export = _is_export(path / "saved_model.pb")
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*"))
    return [name for name in names if not (is_export and re.fullmatch(_SAVED_MODEL, name))]


def _is_export(file):
    """Return whether a file is empty or has the metadata of a detector."""
    content = file.read_bytes() if file.is_file() else b"unknown"
    return not content or BOUNDING_BOX_FORMAT.encode() in content


def _check_support(model, format):
    current().check_export()
    wanted = FORMATS[format]
    half = {part.compute_dtype for part in flatten_layers(model)} - {"float32"}
    if half and not wanted.supports_half_precision:
        raise ValueError(
            f"`format` {format!r} holds float32 only, and the model computes in "
            f"{sorted(half)}. Save it, load it with `keras_detr.load('model.keras', "
            "dtype='float32')`, and export that; or export as 'tf_saved_model'."
        )
    missing = [name for name in wanted.packages if not is_installed(name)]
    if missing:
        raise ImportError(
            f"`format` {format!r} needs {' and '.join(missing)}, which must be installed: "
            '`pip install "keras_detr[export]"`.'
        )
