"""Files that hold a model or its weights, each replaced completely or not at all."""

import io
import math
import os
from pathlib import Path

import keras
import numpy as np

from keras_detr.checkpoints.files.atomic_files import (
    check_space,
    folder_beside,
    move_file,
    move_folder,
)

LEGACY_SUFFIXES = (".h5", ".hdf5")


class LateErrorFile(io.BytesIO):
    """Write to a file on the disk, and raise errors at the end only.

    On a full disk HDF5 can't close its file, and ends the process; so it mustn't see the error.
    Keras accepts a `BytesIO` instead of a path, and takes its string form for the path.

    Args:
        file: binary file, open for writing and reading.
        path: str or path, the file's name in messages.
    """

    def __init__(self, file, path):
        super().__init__()
        self._file = file
        self._path = str(path)
        self._failure = None
        # If memory is short, Keras writes a temporary file beside the one of this name.
        self.name = file.name

    def __str__(self):
        return self._path

    def finish(self):
        """Write nothing any more, and raise the first error.

        Raises:
            OSError: something couldn't be written.
        """
        self.flush()
        self._file = None
        if self._failure is not None:
            raise self._failure

    def _try(self, method, *arguments, otherwise):
        if self._file is None or self._failure is not None:
            return otherwise
        try:
            return getattr(self._file, method)(*arguments)
        except OSError as error:
            self._failure = error
            return otherwise

    def write(self, content):
        return self._try("write", content, otherwise=len(content))

    def read(self, size=-1):
        return self._try("read", size, otherwise=b"")

    def readinto(self, buffer):
        return self._try("readinto", buffer, otherwise=0)

    def seek(self, offset, whence=os.SEEK_SET):
        return self._try("seek", offset, whence, otherwise=0)

    def tell(self):
        return self._try("tell", otherwise=0)

    def truncate(self, size=None):
        return self._try("truncate", size, otherwise=0)

    def flush(self):
        return self._try("flush", otherwise=None)


def save_model(model, filepath, overwrite=True, zipped=None, **kwargs):
    """Write the model to a .keras file as `keras.Model.save` does, completely or not at all.

    The file is written beside its place and moved there, so that an earlier file stays as it was
    if anything fails. Keras' function `keras.saving.save_model` doesn't call this
    method, and writes in place, as Keras does to remote paths.

    Args:
        model: `keras.Model`.
        filepath: str or path, ending in ".keras".
        overwrite: bool, whether to replace an earlier file without asking.
        zipped: bool or `None`; see `keras.Model.save`. A folder, which `False` asks for, can't be
            replaced at once, so there may be none.
        **kwargs: of `keras.Model.save`.

    Raises:
        OSError: the file can't be written, for example because the disk is full.
        ValueError: the name ends in another way, or is that of a folder that exists.
    """

    def write(file):
        keras.Model.save(model, file, zipped=zipped, **kwargs)

    if not _is_local(filepath):
        keras.Model.save(model, filepath, overwrite=overwrite, zipped=zipped, **kwargs)
    elif zipped is False:
        _check_new(Path(filepath), "with `zipped=False`", "a '.keras' file")
        _write_beside(model, Path(filepath), write)
    elif overwrite or _may_replace(filepath):
        if str(filepath).endswith(LEGACY_SUFFIXES):
            _write_beside(model, Path(filepath), write)
        else:
            _write_file(model, filepath, write)


def save_weights(model, filepath, overwrite=True, max_shard_size=None):
    """Write the weights to a file as `keras.Model.save_weights` does, completely or not at all.

    The file is written beside its place and moved there, so that an earlier file stays as it was
    if anything fails.

    Args:
        model: `keras.Model`.
        filepath: str or path, ending in ".weights.h5", or in ".weights.json" with `max_shard_size`.
        overwrite: bool, whether to replace an earlier file without asking.
        max_shard_size: float or `None`, GB: write several files of at most this size, and
            `filepath` as their list. They can't be replaced at once, so none may be there.

    Raises:
        OSError: the file can't be written, for example because the disk is full.
        ValueError: the name ends in another way, or is that of shards that exist.
    """

    def write(file):
        keras.Model.save_weights(model, file, max_shard_size=max_shard_size)

    if not _is_local(filepath):
        keras.Model.save_weights(model, filepath, overwrite, max_shard_size)
    elif max_shard_size is not None:
        shards = Path(filepath).with_suffix(".json")
        _check_new(shards, "with `max_shard_size`", "a '.weights.h5' file")
        _write_beside(model, Path(filepath), write)
    elif overwrite or _may_replace(filepath):
        _write_file(model, filepath, write)


def write_weights(model, path):
    """Write the weights to a new file (.weights.h5) in a folder of `folder_beside`."""
    check_space(Path(path).parent, _num_bytes(model))
    _write_and_raise_late(path, path, lambda file: keras.Model.save_weights(model, file))


def _is_local(filepath):
    """Return whether a path is in a local folder."""
    is_path = isinstance(filepath, (str, os.PathLike)) and "://" not in str(filepath)
    return is_path and Path(filepath).parent.is_dir()


def _may_replace(filepath):
    """Ask as Keras does. Keras itself can't: it writes to another file."""
    if not os.path.exists(filepath):
        return True
    question = f"[WARNING] {filepath} already exists - overwrite? [y/n]"
    while (answer := input(question).strip().lower()) not in ("y", "n"):
        question = 'Enter "y" (overwrite) or "n" (cancel).'
    return answer == "y"


def _write_file(model, filepath, write):
    path = Path(os.path.realpath(filepath))
    with folder_beside(path) as folder:
        check_space(folder, _num_bytes(model))
        _write_and_raise_late(folder / path.name, filepath, write)
        move_file(folder / path.name, path)


def _write_and_raise_late(path, name, write):
    """Write a file that Keras takes for another one, `name`."""
    with open(path, "w+b") as file:
        late_error_file = LateErrorFile(file, name)
        try:
            write(late_error_file)
        finally:
            late_error_file.finish()


def _write_beside(model, path, write):
    """Write what Keras writes to paths only. The file that names the others is moved last."""
    path = path.parent.resolve() / path.name
    with folder_beside(path) as folder:
        check_space(folder, _num_bytes(model))
        write(folder / path.name)
        for file in sorted(folder.iterdir(), key=lambda file: file.stem == path.stem):
            move = move_folder if file.is_dir() else move_file
            move(file, path.with_name(file.name))


def _check_new(path, when, instead):
    """Check that nothing is at a path, since several files can't be replaced at once."""
    if path.exists():
        raise ValueError(
            f"`filepath` must be new {when}: several files can't be replaced at once, and "
            f"{str(path)!r} exists. Save to another place, or to {instead}, which is replaced."
        )


def _num_bytes(model):
    """Return about how much a model's files take: its variables, and HDF5's notes on each."""
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer is not None else ())]
    return sum(np.dtype(v.dtype).itemsize * math.prod(v.shape) + 4096 for v in variables)
