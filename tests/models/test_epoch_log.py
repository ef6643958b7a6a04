"""A line an epoch, whatever happens to the training."""

import csv

import pytest

from keras_detr.models import EpochLog


def lines(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_epoch_is_a_line(tmp_path):
    path = tmp_path / "log.csv"
    log = EpochLog(path)
    log.on_train_begin()
    log.on_epoch_end(0, {"loss": 2.5})
    log.on_epoch_end(1, {"loss": 1.5, "val_AP": 0.25})
    assert lines(path) == [
        {"epoch": "1", "loss": "2.5", "val_AP": ""},
        {"epoch": "2", "loss": "1.5", "val_AP": "0.25"},
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["log.csv"]


def test_a_repeated_epoch_is_one_line(tmp_path):
    path = tmp_path / "log.csv"
    first = EpochLog(path)
    first.on_train_begin()
    first.on_epoch_end(0, {"loss": 3.0})
    state = first.get_training_state()
    state = {"rows": list(state["rows"])}
    # The process ends here, after a line that no backup knows.
    first.on_epoch_end(1, {"loss": 2.0})
    second = EpochLog(path)
    second.on_train_begin()
    second.set_training_state(state)
    second.on_epoch_end(1, {"loss": 1.0})
    assert [line["loss"] for line in lines(path)] == ["3.0", "1.0"]


def test_a_new_training_begins_anew(tmp_path):
    log = EpochLog(str(tmp_path / "log.csv"))
    for _ in range(2):
        log.on_train_begin()
        log.on_epoch_end(0, {"loss": 1.0})
    assert len(lines(log.path)) == 1


def test_a_full_disk_leaves_the_file(tmp_path, monkeypatch):
    log = EpochLog(tmp_path / "log.csv")
    log.on_train_begin()
    log.on_epoch_end(0, {"loss": 1.0})
    before = log.path.read_text()

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", fail)
    with pytest.raises(OSError, match="No space left"):
        log.on_epoch_end(1, {"loss": 1.0})
    assert log.path.read_text() == before
