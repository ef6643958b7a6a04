"""A training that was killed goes on with all that its callbacks remembered, or from a whole copy.

The oracle is the same training without interruption. A model of one layer stands for the detectors:
nothing here depends on what is trained.
"""

import json

import keras
import numpy as np
import pytest

from keras_detr.models.task.backup.training_backup import resumable_callbacks

pytestmark = pytest.mark.every_backend

EPOCHS = 6
# The best in the second epoch, so that what comes after an interruption is worse.
FIGURES = (0.2, 0.5, 0.3, 0.4, 0.1, 0.3)


class Killed(Exception):
    pass


class Kill(keras.callbacks.Callback):
    """Raise in the middle of an epoch, as a process that is killed stops."""

    def __init__(self, epoch, batch=0):
        super().__init__()
        self.at = epoch, batch
        self.current = None

    def on_epoch_begin(self, epoch, logs=None):
        self.current = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.current, batch) == self.at:
            raise Killed


class Figures(keras.callbacks.Callback):
    """Log what an evaluation might."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_AP"] = FIGURES[epoch]


class Calls(keras.callbacks.Callback):
    """Remember what a callback of a user's own may."""

    def __init__(self):
        super().__init__()
        self.epochs, self.last = [], None

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)
        self.last = np.full(2, epoch)

    def get_training_state(self):
        return {"epochs": self.epochs, "last": self.last}

    def set_training_state(self, state):
        self.epochs, self.last = state["epochs"], state["last"]


def small_model(**settings):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    # On TensorFlow the steps are few, and take less than their compilation.
    is_eager = keras.backend.backend() == "tensorflow"
    model.compile(keras.optimizers.Adam(0.1, **settings), loss="mse", run_eagerly=is_eager)
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, callbacks, epochs=EPOCHS):
    """Train as a detector's `fit` does, in steps of two examples, three an epoch."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(6, 3)), generator.normal(size=(6, 2))
    callbacks, initial_epoch = resumable_callbacks(model, callbacks, 0, epochs)
    return model.fit(
        x,
        y,
        batch_size=2,
        epochs=epochs,
        initial_epoch=initial_epoch,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )


def backup(folder, **settings):
    settings = {"double_checkpoint": True, "delete_checkpoint": False, **settings}
    return keras.callbacks.BackupAndRestore(folder / "backup", **settings)


def callbacks_that_remember(folder, patience=10):
    monitor = {"monitor": "val_AP", "mode": "max"}
    return [
        Figures(),
        keras.callbacks.ModelCheckpoint(
            str(folder / "best.weights.h5"), save_best_only=True, save_weights_only=True, **monitor
        ),
        keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True, **monitor),
        keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=2, cooldown=1, **monitor),
        Calls(),
    ]


def check_equal(model, expected):
    variables = [*model.variables, *model.optimizer.variables]
    others = [*expected.variables, *expected.optimizer.variables]
    for one, other in zip(variables, others, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (one, other)))


def weights_of(path):
    model = small_model()
    model.load_weights(path)
    return model.get_weights()


@pytest.mark.parametrize(("place", "epoch"), [(0, 4), (2, 2), (5, 4)])
def test_an_interrupted_training_equals_one_without_interruption(place, epoch, tmp_path):
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    expected = small_model()
    expected_callbacks = callbacks_that_remember(tmp_path / "whole")
    history = fit(expected, expected_callbacks)

    first = callbacks_that_remember(tmp_path / "parts")
    first.insert(place, backup(tmp_path))
    with pytest.raises(Killed):
        fit(small_model(), [*first, Kill(epoch)])
    model = small_model()
    callbacks = callbacks_that_remember(tmp_path / "parts")
    resumed = fit(model, [*callbacks[:place], backup(tmp_path), *callbacks[place:]])

    check_equal(model, expected)
    assert resumed.history == history.history
    assert resumed.epoch == history.epoch
    names = ("best", "best_epoch", "stopped_epoch", "wait", "cooldown_counter", "epochs")
    for one, other in zip(callbacks, expected_callbacks, strict=True):
        for name in names:
            assert getattr(one, name, None) == getattr(other, name, None)
    np.testing.assert_array_equal(callbacks[-1].last, expected_callbacks[-1].last)
    for one, other in zip(
        *(weights_of(tmp_path / name / "best.weights.h5") for name in ("whole", "parts")),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_backups_between_epochs(tmp_path):
    first = [backup(tmp_path, save_freq=2), *callbacks_that_remember(tmp_path)]
    with pytest.raises(Killed):
        fit(small_model(), [*first, Kill(3, batch=2)])
    callbacks = callbacks_that_remember(tmp_path)
    history = fit(small_model(), [backup(tmp_path, save_freq=2), *callbacks])
    assert [callback.best for callback in callbacks[1:3]] == [0.5, 0.5]
    assert history.history["val_AP"] == list(FIGURES)
    saved = json.loads(newest(tmp_path, "state.json").read_text())
    assert saved["epoch"] == EPOCHS


def newest(folder, name):
    return sorted((folder / "backup").glob(f"*/{name}"))[-1]


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.once
@pytest.mark.parametrize("name", ["model.weights.h5", "state.json", "arrays.npz"])
def test_the_older_copy_is_taken_where_the_newer_is_damaged(name, tmp_path, caplog):
    expected = small_model()
    fit(expected, callbacks_that_remember(tmp_path))
    with pytest.raises(Killed):
        fit(small_model(), [*callbacks_that_remember(tmp_path), backup(tmp_path), Kill(4)])
    cut_off(newest(tmp_path, name))
    model = small_model()
    history = fit(model, [*callbacks_that_remember(tmp_path), backup(tmp_path)])
    check_equal(model, expected)
    assert history.epoch == list(range(EPOCHS))
    assert "00000003 can't be loaded" in caplog.text
    assert "goes on with epoch 4 of 6" in caplog.text


@pytest.mark.once
def test_without_a_whole_copy_nothing_is_trained(tmp_path):
    with pytest.raises(Killed):
        fit(small_model(), [backup(tmp_path), Kill(4)])
    for path in (tmp_path / "backup").glob("*/model.weights.h5"):
        cut_off(path)
    with pytest.raises(
        ValueError, match=r"No backup in .*backup' can be loaded.*delete the folder"
    ):
        fit(small_model(), [backup(tmp_path)])


@pytest.mark.once
def test_what_a_kill_left_while_it_was_written_is_no_copy(tmp_path, monkeypatch):
    expected = small_model()
    fit(expected, [])
    with pytest.raises(Killed):
        fit(small_model(), [backup(tmp_path), Kill(3)])

    def save_half(self, path, **kwargs):
        path.write_bytes(b"half")
        raise Killed

    with monkeypatch.context() as context:
        context.setattr(keras.Model, "save_weights", save_half)
        with pytest.raises(Killed):
            fit(small_model(), [backup(tmp_path)])
    # A killed process leaves more behind than a failing one.
    (tmp_path / "backup" / ".keras_detr-unfinished-0").mkdir()
    model = small_model()
    fit(model, [backup(tmp_path)])
    check_equal(model, expected)
    assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == ["00000004", "00000005"]


@pytest.mark.once
@pytest.mark.parametrize("double", [False, True])
def test_the_number_of_copies(double, tmp_path):
    fit(small_model(), [backup(tmp_path, double_checkpoint=double)])
    assert len(list((tmp_path / "backup").iterdir())) == 1 + double


@pytest.mark.once
def test_copies_are_deleted_at_the_end_and_nothing_else(tmp_path):
    folder = tmp_path / "backup"
    fit(small_model(), [backup(tmp_path, delete_checkpoint=True)])
    assert not folder.exists()
    with pytest.raises(Killed):
        fit(small_model(), [backup(tmp_path, delete_checkpoint=True), Kill(2)])
    (folder / "model.keras").write_text("of the user")
    fit(small_model(), [backup(tmp_path, delete_checkpoint=True)])
    assert [path.name for path in folder.iterdir()] == ["model.keras"]


def test_a_training_that_stopped_early_trains_no_more(tmp_path, caplog):
    callbacks = callbacks_that_remember(tmp_path, patience=2)
    expected = small_model()
    history = fit(expected, [backup(tmp_path), *callbacks])
    assert history.epoch == [0, 1, 2, 3]
    model = small_model()
    again = fit(model, [backup(tmp_path), *callbacks_that_remember(tmp_path, patience=2)])
    check_equal(model, expected)
    assert again.history == history.history
    assert "no epoch is left" in caplog.text
    # With more patience it goes on.
    more = fit(small_model(), [backup(tmp_path), *callbacks_that_remember(tmp_path, patience=3)])
    assert more.epoch == [0, 1, 2, 3, 4]


def test_averaged_weights_that_callbacks_see_are_not_backed_up(tmp_path):
    def callbacks():
        return [keras.callbacks.SwapEMAWeights(swap_on_epoch=True), backup(tmp_path)]

    settings = {"use_ema": True, "ema_momentum": 0.5}
    expected = small_model(**settings)
    fit(expected, callbacks()[:1])
    with pytest.raises(Killed):
        fit(small_model(**settings), [*callbacks(), Kill(3)])
    model = small_model(**settings)
    fit(model, callbacks())
    # Keras swaps by adding and subtracting on TensorFlow, which rounds.
    for one, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


class Poison(keras.callbacks.Callback):
    """Make the weights NaN in an epoch, as a rate that is too high does."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch
        self.is_due = False

    def on_epoch_begin(self, epoch, logs=None):
        self.is_due = epoch == self.epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.is_due:
            self.model.set_weights([w * np.nan for w in self.model.get_weights()])


@pytest.mark.parametrize("terminate", [False, True])
@pytest.mark.parametrize("save_freq", ["epoch", 1])
def test_weights_of_nan_are_saved_by_nobody(terminate, save_freq, tmp_path):
    saved = str(tmp_path / "last.weights.h5")
    checkpoint = keras.callbacks.ModelCheckpoint(saved, save_weights_only=True, save_freq=save_freq)
    callbacks = [backup(tmp_path, save_freq=save_freq), Poison(3), checkpoint]
    if terminate:
        callbacks.append(keras.callbacks.TerminateOnNaN())
    with pytest.raises(FloatingPointError, match=r"diverged: .*2 of 2 trained variables.*kernel"):
        fit(small_model(), callbacks)
    assert np.all(np.isfinite(weights_of(saved)[0]))
    history = fit(small_model(), [backup(tmp_path)])
    assert history.epoch == list(range(EPOCHS))
    assert np.all(np.isfinite(history.history["loss"]))


def test_a_backup_that_keras_wrote_is_taken(tmp_path):
    expected = small_model()
    fit(expected, [])

    class OfKeras(keras.callbacks.BackupAndRestore):
        """A subclass, which is left as it is."""

    with pytest.raises(Killed):
        fit(small_model(), [OfKeras(tmp_path / "backup"), Kill(3)])
    assert (tmp_path / "backup" / "latest.weights.h5").exists()
    model = small_model()
    history = fit(model, [backup(tmp_path)])
    assert history.epoch == [3, 4, 5]
    check_equal(model, expected)
    assert not (tmp_path / "backup" / "latest.weights.h5").exists()


class Reader(Figures):
    reads_weights = True


@pytest.mark.once
@pytest.mark.parametrize(
    ("before", "told"),
    [
        ([Reader], "Reader comes before `SwapEMAWeights`"),
        ([Reader, keras.callbacks.ModelCheckpoint], "Reader and ModelCheckpoint come before"),
        ([Figures], None),
    ],
)
def test_callbacks_that_would_see_weights_before_their_averages_are_named(
    before, told, tmp_path, caplog
):
    def made(kind):
        return kind(tmp_path / "m.keras") if kind is keras.callbacks.ModelCheckpoint else kind()

    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    resumable_callbacks(small_model(), [*map(made, before), swap, Reader()], 0, 1)
    messages = [record.message for record in caplog.records]
    assert [told in message for message in messages] == [True] * (told is not None)
    caplog.clear()
    resumable_callbacks(small_model(), [swap, *map(made, before)], 0, 1)
    assert not caplog.records


@pytest.mark.once
def test_a_list_of_keras_passes_through():
    callbacks = keras.callbacks.CallbackList([Figures()])
    assert resumable_callbacks(None, callbacks, 2, 3) == (callbacks, 2)


@pytest.mark.once
def test_two_backups_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"at most one `BackupAndRestore`.*Received 2"):
        fit(small_model(), [backup(tmp_path), backup(tmp_path / "other")])


@pytest.mark.once
def test_what_cannot_be_written_is_named(tmp_path):
    calls = Calls()
    calls.get_training_state = lambda: {"model": object()}
    with pytest.raises(TypeError, match=r"must be JSON values and arrays.*object object"):
        fit(small_model(), [backup(tmp_path), calls])
