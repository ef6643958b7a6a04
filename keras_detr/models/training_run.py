"""A folder with the results of one training, which never overwrites those of another."""

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import keras

from keras_detr.checkpoints.files.atomic_files import folder_beside, is_unfinished, move_file
from keras_detr.models.epoch_log import EpochLog
from keras_detr.ops.processes import by_first_process, is_first_process

_RECORD = "run.json"
_LOG = "log.csv"
# Before these many steps AP is nearly 0, and epochs without a better one say nothing.
FIRST_STEPS = 500


def is_training_folder(folder):
    """Return whether a folder, whose path this is, is that of a `TrainingRun`."""
    return any(Path(folder, name).is_file() for name in (_RECORD, _LOG))


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Stop early, but not before `FIRST_STEPS` where no first epoch is given."""

    def on_train_begin(self, logs=None):
        if self.start_from_epoch is None:
            self.start_from_epoch = FIRST_STEPS // (self.params.get("steps") or FIRST_STEPS)
        super().on_train_begin(logs)


class TrainingRun:
    """Keep a folder for one training: started again, it goes on or is finished.

    What decides the result of the training is recorded as `settings` in the file run.json, and
    another training with the same folder is refused before it writes anything.

    Args:
        folder: str or path; created where it doesn't exist.
        settings: dict of JSON values: the data (or a hash of it), the preset, the classes, and all
            that is passed to `compile` and `fit`.

    Attributes:
        folder: `pathlib.Path`.
        best_path: `pathlib.Path`, of the model with the best figure so far.
        backup_dir: `pathlib.Path`, for `keras.callbacks.BackupAndRestore`. Let it keep its files
            (`delete_checkpoint=False`): `finish` deletes them once the results are written.
        is_finished: bool, whether `finish` has been called in this or an earlier process.

    Raises:
        FileExistsError: the folder holds something else; the message says what differs.

    Example:
        ```python
        from keras_detr.models import TrainingRun

        run = TrainingRun("my_training", {"preset": "detr_r50", "epochs": 50})
        if not run.is_finished:
            callbacks = run.callbacks(patience=10)
            # model.fit(..., callbacks=[COCOEvaluation(valid_batches), *callbacks])
            run.finish()
        ```
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Any) -> None:
        self.folder = Path(folder)
        self.backup_dir = self.folder / "backup"
        self.best_path = self.folder / "model.keras"
        self._settings = json.loads(json.dumps(settings, default=str))
        record = self._read_record()
        self.is_finished = record["is_finished"]
        if not record["settings"]:
            self._write_record()

    def callbacks(
        self,
        monitor: str = "val_AP",
        mode: str = "max",
        patience: int | None = None,
        patience_from_epoch: int | None = None,
        tensorboard: bool = False,
    ) -> list[Any]:
        """Return callbacks that keep the results in the folder, and let an interrupted run go on.

        Put `COCOEvaluation`, which logs "val_AP", before them.

        Args:
            monitor: str, the figure by which the best model is kept.
            mode: "max" or "min", which figure is best.
            patience: int, after how many epochs without a better figure training ends; or `None`.
            patience_from_epoch: int, the first epoch that counts, from 0 on. None is the first
                after 500 steps, before which AP says nothing.
            tensorboard: bool, whether to write logs for TensorBoard too.

        Returns:
            list of callbacks: the best model is written to `best_path`, the logs of all epochs to
            log.csv, and what an interrupted training needs to `backup_dir`.
        """
        figure = {"monitor": monitor, "mode": mode}
        callbacks = [
            keras.callbacks.ModelCheckpoint(self.best_path, save_best_only=True, **figure),
            EpochLog(self.folder / _LOG),
            keras.callbacks.TerminateOnNaN(raise_error=True),
        ]
        if patience is not None:
            callbacks.append(
                EarlyStopping(patience=patience, start_from_epoch=patience_from_epoch, **figure)
            )
        if tensorboard:
            callbacks.append(keras.callbacks.TensorBoard(self.folder / "tensorboard"))
        # It keeps its files until `finish`, when all results are written.
        backup = keras.callbacks.BackupAndRestore(
            self.backup_dir, double_checkpoint=True, delete_checkpoint=False
        )
        return [*callbacks, backup]

    def finish(self) -> None:
        """Record that all results are written, and delete the backups."""
        self.is_finished = True
        self._write_record()
        if is_first_process():
            shutil.rmtree(self.backup_dir, ignore_errors=True)

    @by_first_process
    def withdraw(self) -> None:
        """Delete the record of a training that can't begin, and its folder if it is empty then.

        Where the folder has results, nothing is deleted.
        """
        if self._others():
            return
        (self.folder / _RECORD).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _others(self):
        """Return the paths in the folder beside the record."""
        record = self.folder / _RECORD
        return [p for p in self.folder.glob("*") if p != record and not is_unfinished(p)]

    def _read_record(self):
        """Return the folder's record, or an empty one if the folder may be taken."""
        path = self.folder / _RECORD
        new = {"settings": None, "is_finished": False}
        advice = "Choose another folder, or delete it if nothing in it is needed."
        if self.folder.exists() and not self.folder.is_dir():
            raise FileExistsError(f"`folder` must name a folder: {str(self.folder)!r} is a file.")
        others = self._others()
        if not path.exists():
            if others:
                raise FileExistsError(
                    f"{str(self.folder)!r} isn't empty, and holds no training that could go on "
                    f"({_RECORD} is missing). {advice}"
                )
            return new
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            differing = _differing(record["settings"], self._settings)
            record["is_finished"] = bool(record["is_finished"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FileExistsError(
                f"{str(path)!r} isn't the record of a training: {error!r}. {advice}"
            ) from error
        if differing and others:
            raise FileExistsError(
                f"{str(self.folder)!r} holds another training: {differing}. What has begun goes "
                f"on as it began. {advice} A new training can start from the old one's "
                f"{self.best_path.name}."
            )
        # A training that has left nothing but its record may be replaced.
        return new if differing else record

    @by_first_process
    def _write_record(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        record = {"settings": self._settings, "is_finished": self.is_finished}
        path = self.folder / _RECORD
        with folder_beside(path) as beside:
            (beside / _RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")
            move_file(beside / _RECORD, path)


def _differing(recorded, wanted):
    """Say in which settings two trainings differ; nothing if they don't."""
    missing = "nothing"
    return ", ".join(
        f"{name} was {recorded.get(name, missing)!r} and is {wanted.get(name, missing)!r}"
        for name in sorted({*recorded, *wanted})
        if recorded.get(name, missing) != wanted.get(name, missing)
    )
