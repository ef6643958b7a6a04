"""Back up a training with all that its callbacks remember, and restore it."""

import logging

import keras

from keras_detr.models.task.backup.backup_copies import BackupCopies
from keras_detr.models.task.backup.callback_order import check_order
from keras_detr.models.task.backup.callback_state import (
    callback_states,
    has_stopped,
    restore_callback_states,
)
from keras_detr.models.task.finite_weights import (
    FiniteWeights,
    FiniteWeightsOfSteps,
    check_finite_weights,
)
from keras_detr.ops.processes import gather, is_first_process

logger = logging.getLogger("keras_detr")


class TrainingBackup(keras.callbacks.Callback):
    """Back up a training as Keras' `BackupAndRestore` does, with the state of other callbacks.

    It must be the last callback: it restores the others after they have reset themselves at the
    beginning of training, and saves after they have seen an epoch. So it saves when the next epoch
    begins or training ends, after `SwapEMAWeights` has put the trained weights back.

    Args:
        backup: `keras.callbacks.BackupAndRestore`. With a `save_freq` in batches it saves after
            each epoch too, because that is when the callbacks' state changes.
        callbacks: list of the other callbacks.
    """

    def __init__(self, backup, callbacks):
        super().__init__()
        self._backup = backup
        self._copies = BackupCopies(backup.backup_dir, 2 if backup.double_checkpoint else 1)
        self._callbacks = callbacks
        self._restored_states = {}
        self._epoch = None
        self._saved_batches = 0

    def restore(self, model, initial_epoch, epochs):
        """Load the newest copy, if there is one, and return the epoch to go on with.

        The callbacks get their state at the beginning of training.
        """
        _check_same_folder(self._copies)
        state = self._copies.restore(model)
        if state is None:
            # There is nothing, or a backup that Keras' own callback wrote.
            self._backup.set_model(model)
            self._backup.on_train_begin()
            return initial_epoch
        self._restored_states = state["callbacks"]
        is_over = has_stopped(self._callbacks, self._restored_states) or state["epoch"] >= epochs
        next_epoch = f"it goes on with epoch {state['epoch'] + 1} of {epochs}"
        logger.warning(
            "Training is restored from %s: %s.",
            self._copies.folder,
            "no epoch is left" if is_over else next_epoch,
        )
        return epochs if is_over else state["epoch"]

    def on_train_begin(self, logs=None):
        """Restore the state of the other callbacks."""
        restore_callback_states(self._callbacks, self._restored_states)

    def on_epoch_begin(self, epoch, logs=None):
        """Save the result of the epoch before."""
        if self._epoch is not None:
            self._save(epoch)
        self._epoch = epoch
        self._saved_batches = 0

    def on_train_batch_end(self, batch, logs=None):
        """Save within an epoch, if `save_freq` asks for it."""
        save_freq = self._backup.save_freq
        is_in_batches = save_freq and save_freq != "epoch"
        if is_in_batches and batch + 1 - self._saved_batches >= save_freq:
            self._save(self._epoch)
            self._saved_batches = batch + 1

    def on_train_end(self, logs=None):
        """Delete the copies, or save the end of the training."""
        if self._backup.delete_checkpoint:
            self._copies.delete()
        elif self._epoch is not None:
            self._save(self._epoch + 1)

    def _save(self, epoch):
        model = self.model
        check_finite_weights(model, f"in epoch {self._epoch + 1}")
        self._copies.save(model, {"epoch": epoch, "callbacks": callback_states(self._callbacks)})


def resumable_callbacks(model, callbacks, initial_epoch, epochs):
    """Return the callbacks of a training that can go on after an interruption.

    `TrainingBackup` replaces Keras' `BackupAndRestore`, and restores the model; subclasses and
    remote folders are left to Keras. A check for NaN is the first callback. Of several processes,
    only the first has callbacks that just write files.

    Args:
        model: `keras.Model`, compiled, its optimizer built.
        callbacks: what `fit` takes; `initial_epoch` and `epochs` too.

    Returns:
        tuple of the callbacks for `fit` and the epoch to begin with.

    Raises:
        ValueError: there are several backups, or there is one that can't be loaded.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks, initial_epoch
    callbacks = keras.tree.flatten(callbacks) if callbacks else []
    check_order(callbacks)
    backups = [callback for callback in callbacks if _is_replaced(callback)]
    if len(backups) > 1:
        raise ValueError(
            "`callbacks` must have at most one `BackupAndRestore`: training goes on from one "
            f"place. Received {len(backups)}: {[str(backup.backup_dir) for backup in backups]}."
        )
    others = [
        callback
        for callback in callbacks
        if callback not in backups and (is_first_process() or not _writes_files(callback))
    ]
    if backups:
        if not any(isinstance(callback, keras.callbacks.History) for callback in others):
            # Keras would add its own after the backup.
            others.append(keras.callbacks.History())
        backup = TrainingBackup(backups[0], others)
        initial_epoch = backup.restore(model, initial_epoch, epochs)
        backups = [backup]
    return [_finite_weights(others), *others, *backups], initial_epoch


def _check_same_folder(copies):
    """Raise a ValueError in all processes unless all see the same copies."""
    names = gather(copies.names)
    if any(others != names[0] for others in names):
        raise ValueError(
            f"`backup_dir` {str(copies.folder)!r} must be one folder that all processes share, as "
            "the first one writes the backups and all of them read. They see different files: "
            f"{names}."
        )


def _is_replaced(callback):
    return type(callback) is keras.callbacks.BackupAndRestore and "://" not in str(
        callback.backup_dir
    )


def _writes_files(callback):
    """Return whether a callback does nothing but write what the first process' writes too."""
    kinds = (
        keras.callbacks.CSVLogger,
        keras.callbacks.RemoteMonitor,
        keras.callbacks.TensorBoard,
    )
    return isinstance(callback, kinds) or getattr(callback, "only_writes_files", False)


def _finite_weights(callbacks):
    saves_within_epochs = any(
        isinstance(callback, keras.callbacks.ModelCheckpoint) and callback.save_freq != "epoch"
        for callback in callbacks
    )
    return FiniteWeightsOfSteps() if saves_within_epochs else FiniteWeights()
