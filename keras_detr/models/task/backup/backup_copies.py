"""Copies of a training in a folder, each complete or not there at all."""

import json
import logging
import shutil
from pathlib import Path

import keras
import numpy as np

from keras_detr.checkpoints.files.atomic_files import folder_beside, move_folder
from keras_detr.ops.processes import by_first_process

logger = logging.getLogger("keras_detr")

_WEIGHTS = "model.weights.h5"
_STATE = "state.json"
_ARRAYS = "arrays.npz"
_ARRAY = "numpy array"
# The files of Keras' own BackupAndRestore.
_KERAS_FILES = ("latest.weights.h5", "training_metadata.json")


class BackupCopies:
    """Keep the last copies of a model in training, its weights and the state of its callbacks.

    A copy is a folder whose name is its number. It is moved to its place once it is complete; only
    then an older one is deleted.

    Args:
        folder: str or path, with nothing else in it.
        num_kept: int, how many copies are kept.
    """

    def __init__(self, folder, num_kept):
        self.folder = Path(folder)
        self.num_kept = num_kept

    @property
    def names(self):
        """list of str, the copies that there are, the newest last."""
        return [copy.name for copy in self._copies()]

    @by_first_process
    def save(self, model, state):
        """Write a copy of a model and a state, JSON values and arrays; delete copies too old."""
        copies = self._copies()
        place = self.folder / f"{int(copies[-1].name) + 1 if copies else 0:08d}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with folder_beside(place) as beside:
            unfinished = beside / place.name
            unfinished.mkdir()
            model.save_weights(unfinished / _WEIGHTS)
            _write_state(unfinished, state)
            move_folder(unfinished, place)
        for copy in copies[: len(copies) + 1 - self.num_kept]:
            shutil.rmtree(copy)
        self._delete_files_of_keras()

    def restore(self, model):
        """Load the newest copy that can be read and return its state, or `None` without copies.

        Raises:
            ValueError: there are copies, and none can be loaded.
        """
        copies = self._copies()
        for copy in reversed(copies):
            try:
                state = _read_state(copy)
                model.load_weights(copy / _WEIGHTS)
            # A truncated file can raise almost any error.
            except Exception as error:
                last_error = error
                logger.warning("The backup %s can't be loaded: %s", copy, error)
            else:
                return state
        if not copies:
            return None
        raise ValueError(
            f"No backup in {str(self.folder)!r} can be loaded into this model; the last error was: "
            f"{last_error}. Train with the model and the optimizer that it is of, or delete the "
            "folder to start anew."
        ) from last_error

    @by_first_process
    def delete(self):
        """Delete all copies, and the folder if nothing else is in it."""
        for copy in self._copies():
            shutil.rmtree(copy)
        self._delete_files_of_keras()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _copies(self):
        """Return the folders of the copies, the newest last."""
        return sorted(p for p in self.folder.glob("*") if p.is_dir() and p.name.isdecimal())

    def _delete_files_of_keras(self):
        for name in _KERAS_FILES:
            (self.folder / name).unlink(missing_ok=True)
            (self.folder / f"{name}.bkp").unlink(missing_ok=True)


def _write_state(folder, state):
    arrays = []

    def as_json(value):
        value = np.asarray(keras.ops.convert_to_numpy(value))
        if value.dtype == object:
            raise TypeError(
                "What callbacks remember must be JSON values and arrays, or it can't be backed "
                f"up. Received: {value!r}."
            )
        if value.ndim == 0:
            return value.item()
        arrays.append(value)
        return {_ARRAY: len(arrays) - 1}

    (folder / _STATE).write_text(json.dumps(state, default=as_json), encoding="utf-8")
    np.savez(folder / _ARRAYS, *arrays)


def _read_state(folder):
    # NumPy leaves a damaged file open that it has opened itself.
    with open(folder / _ARRAYS, "rb") as file, np.load(file) as saved:
        arrays = [saved[name] for name in saved.files]

    def from_json(value):
        return arrays[value[_ARRAY]] if set(value) == {_ARRAY} else value

    return json.loads((folder / _STATE).read_text(encoding="utf-8"), object_hook=from_json)
