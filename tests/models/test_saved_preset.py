"""Folders that hold a model: whole or not at all."""

import os

import numpy as np
import pytest
from keras import ops

from keras_detr.models import ResNetBackbone, saved_preset

from .detectors import tiny_backbone

pytestmark = pytest.mark.every_backend


def first_kernel(backbone):
    return ops.convert_to_numpy(backbone.get_layer("conv1").kernel)


@pytest.mark.parametrize("breaks_at", ["writing", "moving"])
def test_an_interrupted_save_leaves_the_old_files_whole(tmp_path, monkeypatch, breaks_at):
    old, new = tiny_backbone(), tiny_backbone()
    assert (first_kernel(old) != first_kernel(new)).any()
    old.save_to_preset(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")

    def fail(*_):
        raise KeyboardInterrupt

    if breaks_at == "writing":
        save_weights = type(new).save_weights

        def write_half(self, path):
            save_weights(self, path)
            path.write_bytes(path.read_bytes()[:1000])
            fail()

        monkeypatch.setattr(type(new), "save_weights", write_half)
    else:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        new.save_to_preset(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        saved_preset.CONFIG_FILE,
        saved_preset.WEIGHTS_FILE,
        "notes.txt",
    ]
    loaded = ResNetBackbone.from_preset(tmp_path)
    np.testing.assert_array_equal(first_kernel(loaded), first_kernel(old))


def test_a_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"must name a folder.*file'"):
        tiny_backbone().save_to_preset(tmp_path / "file")


def test_missing_and_damaged_files(tmp_path):
    tiny_backbone().save_to_preset(tmp_path)
    weights = tmp_path / saved_preset.WEIGHTS_FILE
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 3])
    with pytest.raises(ValueError, match=r"model\.weights\.h5.*can't be read"):
        ResNetBackbone.from_preset(tmp_path)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.weights\.h5.*load_weights=False"):
        ResNetBackbone.from_preset(tmp_path)
    assert isinstance(ResNetBackbone.from_preset(tmp_path, load_weights=False), ResNetBackbone)
    (tmp_path / saved_preset.CONFIG_FILE).write_text("{")
    with pytest.raises(ValueError, match=r"config\.json.*isn't JSON"):
        ResNetBackbone.from_preset(tmp_path)
