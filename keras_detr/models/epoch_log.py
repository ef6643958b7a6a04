"""What a training logs, a line an epoch, in a file that an interruption doesn't disturb."""

import csv
import io
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras

from keras_detr.checkpoints.files.atomic_files import folder_beside, move_file


class EpochLog(keras.callbacks.Callback):
    """Write the logs of each epoch to a CSV file, as if the training had never been interrupted.

    Keras' CSVLogger repeats the line of an epoch that is trained again after a crash, and counts
    from 0. This file has one line for each epoch of the whole training, counted from 1 as in the
    progress bar. It goes on with `BackupAndRestore`, and is written completely or not at all.

    Args:
        path: str or path, of the file. A new training replaces it.

    Example:
        ```python
        from keras_detr.models import EpochLog

        callbacks = [EpochLog("log.csv")]
        ```
    """

    # Of several processes, only the first one has it.
    only_writes_files = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = pathlib.Path(path)
        self.rows: list[dict[str, Any]] = []

    def on_train_begin(self, logs=None):
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self.rows.append({"epoch": epoch + 1, **figures})
        # Validation, for example, may be left out of some epochs.
        names = dict.fromkeys(name for row in self.rows for name in row)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(names), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        with folder_beside(self.path) as beside:
            (beside / self.path.name).write_text(text.getvalue(), encoding="utf-8")
            move_file(beside / self.path.name, self.path)

    def get_training_state(self) -> dict[str, Any]:
        """Return the lines so far, for a backup."""
        return {"rows": self.rows}

    def set_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on with the lines of a backup."""
        self.rows = list(state["rows"])
