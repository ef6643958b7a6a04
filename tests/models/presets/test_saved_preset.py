"""Folders that hold a model: whole or not at all."""

import errno
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from keras import ops

from keras_detr.models import ResNetBackbone
from keras_detr.models.presets import saved_preset
from tests.models.detectors import tiny_backbone

pytestmark = pytest.mark.every_backend


def first_kernel(backbone):
    return ops.convert_to_numpy(backbone.get_layer("conv1").kernel)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_holds(folder, backbone):
    loaded = ResNetBackbone.from_preset(folder)
    np.testing.assert_array_equal(first_kernel(loaded), first_kernel(backbone))
    assert loaded.name == backbone.name


@pytest.fixture
def saved(tmp_path):
    """Return a folder, the model that it holds, and another one of another name."""
    old, new = tiny_backbone(name="old"), tiny_backbone(name="new")
    assert (first_kernel(old) != first_kernel(new)).any()
    old.save_to_preset(tmp_path)
    return tmp_path, old, new


# The moves of a save: weights to where they wait, configuration, weights to their place.
@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_failing_move_leaves_one_model_whole(saved, monkeypatch, failing):
    folder, old, new = saved
    (folder / "notes.txt").write_text("mine")
    before = files_of(folder)
    replace, moves = os.replace, []

    def fail_once(*paths):
        moves.append(paths)
        if len(moves) == failing:
            raise KeyboardInterrupt
        replace(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail_once)
        with pytest.raises(KeyboardInterrupt):
            new.save_to_preset(folder)
    if failing < 3:
        assert files_of(folder) == before
        assert_holds(folder, old)
    else:
        assert_holds(folder, new)
    old.save_to_preset(folder)
    assert files_of(folder).keys() == before.keys()
    assert_holds(folder, old)


def test_a_kill_before_any_move_leaves_one_model_whole(saved, monkeypatch, tmp_path_factory):
    folder, old, new = saved
    replace, states = os.replace, []

    def copy_and_replace(*paths):
        states.append(tmp_path_factory.mktemp("state") / "copy")
        shutil.copytree(folder, states[-1])
        replace(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", copy_and_replace)
        new.save_to_preset(folder)
    for state, model in zip([*states, folder], (old, old, new, new), strict=True):
        assert_holds(state, model)
        # The next save removes what the killed one left.
        old.save_to_preset(state)
        assert files_of(state).keys() == {saved_preset.CONFIG_FILE, saved_preset.WEIGHTS_FILE}


def test_a_save_that_fails_leaves_the_old_model(saved, monkeypatch):
    folder, old, new = saved
    before = files_of(folder)

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left")

    monkeypatch.setattr(pathlib.Path, "write_bytes", fail)
    with pytest.raises(OSError, match=r"No space left\. It isn't written; .*config\.json'"):
        new.save_to_preset(folder)
    assert files_of(folder) == before
    assert_holds(folder, old)


def test_halves_of_two_saves(saved, tmp_path_factory):
    folder, _, new = saved
    other = tmp_path_factory.mktemp("other")
    new.save_to_preset(other)
    shutil.copy(other / saved_preset.WEIGHTS_FILE, folder)
    with pytest.raises(ValueError, match=r"model\.weights\.h5'.*holds halves of two saves"):
        ResNetBackbone.from_preset(folder)
    new.save_to_preset(folder)
    assert_holds(folder, new)


def test_a_preset_of_an_earlier_version_has_no_hash(saved):
    folder, old, new = saved
    path = folder / saved_preset.CONFIG_FILE
    config = json.loads(path.read_text())
    del config[saved_preset.WEIGHTS_HASH]
    path.write_text(json.dumps(config))
    assert_holds(folder, old)
    new.save_to_preset(folder)
    assert_holds(folder, new)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (saved_preset.CONFIG_FILE, json.dumps({"model_type": "detr"})),
        (saved_preset.CONFIG_FILE, "[]"),
        (saved_preset.CONFIG_FILE, "{"),
        (saved_preset.WEIGHTS_FILE, "of somebody's"),
    ],
)
def test_files_of_others_are_not_replaced(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{name}' isn't "):
        tiny_backbone().save_to_preset(tmp_path)
    assert files_of(tmp_path) == {name: content.encode()}


def test_a_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"must name a folder.*file'"):
        tiny_backbone().save_to_preset(tmp_path / "file")


def test_missing_and_damaged_files(tmp_path):
    tiny_backbone().save_to_preset(tmp_path)
    weights = tmp_path / saved_preset.WEIGHTS_FILE
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 3])
    with pytest.raises(ValueError, match=r"model\.weights\.h5.*a damaged copy"):
        ResNetBackbone.from_preset(tmp_path)
    # What HDF5 makes of it, where no hash tells.
    config = tmp_path / saved_preset.CONFIG_FILE
    config.write_text(config.read_text().replace(saved_preset.WEIGHTS_HASH, "unknown"))
    with pytest.raises(ValueError, match=r"model\.weights\.h5.*can't be read"):
        ResNetBackbone.from_preset(tmp_path)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.weights\.h5.*load_weights=False"):
        ResNetBackbone.from_preset(tmp_path)
    assert isinstance(ResNetBackbone.from_preset(tmp_path, load_weights=False), ResNetBackbone)
    (tmp_path / saved_preset.CONFIG_FILE).write_text("{")
    with pytest.raises(ValueError, match=r"config\.json.*isn't JSON"):
        ResNetBackbone.from_preset(tmp_path)
