"""Folders for transformers: complete, or not written at all."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from keras_detr.checkpoints import read_tensors, write_hub_folder

TENSORS = {"kernel": np.arange(6, dtype="float32").reshape(2, 3).T, "bias": np.ones(2, "float32")}
ARGUMENTS = {"sizes": (64, 96), "mean": (1.0, 2.0, 3.0), "standard_deviation": (4.0, 5.0, 6.0)}
FILES = ["config.json", "model.safetensors", "preprocessor_config.json"]


def write(folder, name="first"):
    write_hub_folder(folder, {"model_type": "detr", "name": name}, TENSORS, **ARGUMENTS)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def name_of(folder):
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))["name"]


def test_the_three_files(tmp_path):
    write(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == FILES
    assert names(tmp_path / "a") == ["b"]
    found = read_tensors(tmp_path / "a" / "b")
    for name, value in TENSORS.items():
        np.testing.assert_array_equal(found[name], value)
    header = (tmp_path / "a" / "b" / "model.safetensors").read_bytes()[:200]
    assert b'"format":"pt"' in header


def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    write("folder")
    write("folder", "second")
    assert name_of(tmp_path / "folder") == "second"
    assert names(tmp_path) == ["folder"]
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds 'notes\.txt' too: export to another folder"):
        write("folder", "third")
    assert name_of(tmp_path / "folder") == "second"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match=r"`folder` must name a folder\. Received the file"):
        write("file")


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    write(tmp_path / "old")
    write_bytes = Path.write_bytes

    def fill_up(path, content):
        write_bytes(path, content[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    for folder in ("old", "new"):
        with pytest.raises(OSError, match="isn't written; what was there before is as it was"):
            write(tmp_path / folder, "second")
    assert names(tmp_path) == ["old"]
    assert name_of(tmp_path / "old") == "first"
