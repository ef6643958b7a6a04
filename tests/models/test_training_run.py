"""A folder of one training goes on, is finished, or is refused before anything is written."""

import json

import keras
import numpy as np
import pytest

from keras_detr.models import TrainingRun

SETTINGS = {"preset": "detr_r50", "classes": ("cat", "dog"), "epochs": 50}


def begun(folder):
    run = TrainingRun(folder, SETTINGS)
    run.backup_dir.mkdir()
    (run.backup_dir / "copy").write_text("")
    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("as_path", [str, lambda path: path])
def test_a_training_from_its_beginning_to_its_end(as_path, tmp_path):
    folder = tmp_path / "some" / "training"
    run = begun(as_path(folder))
    assert not run.is_finished
    assert run.folder == folder
    assert run.backup_dir == folder / "backup"
    again = TrainingRun(folder, SETTINGS)
    assert not again.is_finished
    assert names(folder) == ["backup", "run.json"]
    again.finish()
    assert names(folder) == ["run.json"]
    assert TrainingRun(folder, SETTINGS).is_finished


@pytest.mark.parametrize("is_finished", [False, True])
def test_another_training_is_refused(is_finished, tmp_path):
    run = begun(tmp_path)
    (tmp_path / "model.keras").write_text("")
    if is_finished:
        run.finish()
    record = (tmp_path / "run.json").read_bytes()
    message = r"another training: epochs was 50 and is 60, seed was 'nothing' and is 1\. What"
    with pytest.raises(FileExistsError, match=message):
        TrainingRun(tmp_path, {**SETTINGS, "epochs": 60, "seed": 1})
    assert (tmp_path / "run.json").read_bytes() == record


def test_a_record_alone_is_replaced(tmp_path):
    TrainingRun(tmp_path, SETTINGS)
    # As a kill leaves it.
    (tmp_path / ".keras_detr-unfinished-0").mkdir()
    TrainingRun(tmp_path, {"epochs": 1})
    assert json.loads((tmp_path / "run.json").read_text())["settings"] == {"epochs": 1}


def test_what_cannot_begin_leaves_nothing(tmp_path):
    folder = tmp_path / "training"
    TrainingRun(folder, SETTINGS).withdraw()
    assert not folder.exists()
    run = begun(folder)
    run.withdraw()
    assert names(folder) == ["backup", "run.json"]


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "model.keras").write_text("")
    with pytest.raises(FileExistsError, match=r"isn't empty, and holds no training.*run\.json"):
        TrainingRun(tmp_path, SETTINGS)
    assert names(tmp_path) == ["model.keras"]


def test_a_file_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("")
    with pytest.raises(FileExistsError, match=r"`folder` must name a folder: .* is a file"):
        TrainingRun(path, SETTINGS)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"epochs": 3}', '{"settings": 3}', "\x00"])
def test_a_record_of_something_else_is_refused(content, tmp_path):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(FileExistsError, match=r"run\.json' isn't the record of a training"):
        TrainingRun(tmp_path, SETTINGS)
    assert (tmp_path / "run.json").read_text() == content


def test_callbacks_keep_the_best_model_the_logs_and_a_backup(tmp_path):
    run = TrainingRun(tmp_path, SETTINGS)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    callbacks = run.callbacks("loss", "min", patience=3)
    model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2, callbacks=callbacks, verbose=0)
    assert names(tmp_path) == ["backup", "log.csv", "model.keras", "run.json"]
    assert run.best_path == tmp_path / "model.keras"
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3
    stops = [c for c in callbacks if isinstance(c, keras.callbacks.EarlyStopping)]
    assert [(stop.monitor, stop.patience) for stop in stops] == [("loss", 3)]
    run.finish()
    assert names(tmp_path) == ["log.csv", "model.keras", "run.json"]


def test_early_stopping_and_tensorboard_only_on_demand(tmp_path):
    run = TrainingRun(tmp_path, SETTINGS)
    plain = [type(callback).__name__ for callback in run.callbacks()]
    assert not {"EarlyStopping", "TensorBoard"} & set(plain)
    chosen = [type(callback).__name__ for callback in run.callbacks(patience=1, tensorboard=True)]
    assert sorted(set(chosen) - set(plain)) == ["EarlyStopping", "TensorBoard"]
    assert chosen[-1] == "BackupAndRestore"
