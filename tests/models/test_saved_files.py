"""Files of models and weights: whatever fails, an earlier file stays whole."""

import builtins
import errno
import io
import os

import keras
import numpy as np
import pytest
from keras import ops

from .detectors import tiny_backbone, tiny_detr

pytestmark = pytest.mark.every_backend

resource = pytest.importorskip("resource", reason="Windows limits no sizes of files")

BUILD = {"backbone": tiny_backbone, "detector": lambda: tiny_detr(num_decoder_layers=1)}
WRITERS = {
    "model.keras": lambda model, path: model.save(path),
    "model.weights.h5": lambda model, path: model.save_weights(path),
}


@pytest.fixture(scope="module", params=[*BUILD])
def models(request):
    return BUILD[request.param](), BUILD[request.param]()


@pytest.fixture(params=[*WRITERS])
def writer(request, tmp_path):
    return WRITERS[request.param], tmp_path / request.param


@pytest.fixture
def small_files():
    """Let no file grow beyond 20 kB, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(monkeypatch):
    usage = type("Usage", (), {"free": 20_000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)


def fail(*_, **__):
    raise KeyboardInterrupt


def weights_of(model):
    return [ops.convert_to_numpy(variable) for variable in model.weights]


def assert_holds(path, model, loader):
    loader.load_weights(path)
    for loaded, saved in zip(weights_of(loader), weights_of(model), strict=True):
        np.testing.assert_array_equal(loaded, saved)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_model_replaces_an_earlier_one(models, writer):
    write, path = writer
    for model in models:
        write(model, str(path))
        assert_holds(path, model, models[0])


def test_a_link_is_followed(models, writer):
    write, path = writer
    target = path.parent / "elsewhere" / f"other_{path.name}"
    target.parent.mkdir()
    path.symlink_to(target)
    write(models[0], path)
    assert path.is_symlink()
    path.unlink()
    assert_holds(target, models[0], models[1])


@pytest.mark.parametrize("breaks_at", ["layer", "moving"])
def test_an_interrupted_save_leaves_the_old_file(models, writer, monkeypatch, breaks_at):
    (old, new), (write, path) = models, writer
    write(old, path)
    content = path.read_bytes()
    if breaks_at == "layer":
        # After some layers have been written.
        monkeypatch.setattr(new.layers[-1], "save_own_variables", fail)
    else:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write(new, path)
    assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_full_disk_leaves_the_old_file(models, writer, request):
    write, path = writer
    write(models[0], path)
    content = path.read_bytes()
    request.getfixturevalue("small_files")
    with pytest.raises(OSError, match=rf"It isn't written; .*{path.name}'") as raised:
        write(models[1], path)
    assert raised.value.errno == errno.EFBIG
    assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "callback",
    [
        lambda folder: keras.callbacks.ModelCheckpoint(folder / "model.keras"),
        lambda folder: keras.callbacks.ModelCheckpoint(
            folder / "model.weights.h5", save_weights_only=True
        ),
        lambda folder: keras.callbacks.BackupAndRestore(str(folder)),
    ],
)
def test_callbacks_save_whole_files_too(tmp_path, monkeypatch, callback):
    callback = callback(tmp_path)
    callback.set_model(tiny_backbone())
    callback.on_epoch_end(0, {})
    contents = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        callback.on_epoch_end(1, {})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == contents


def test_asking_before_an_earlier_file_is_replaced(writer, monkeypatch):
    path = writer[1]
    method = keras.Model.save if path.suffix == ".keras" else keras.Model.save_weights
    save = getattr(tiny_backbone(), method.__name__)
    save(path, overwrite=False)
    content = path.read_bytes()
    answers, questions = ["what?", "N"], []
    monkeypatch.setattr(
        builtins, "input", lambda question: questions.append(question) or answers.pop(0)
    )
    save(path, overwrite=False)
    assert len(questions) == 2
    assert str(path) in questions[0]
    assert path.read_bytes() == content
    path.write_bytes(b"")
    answers.append("y")
    save(path, overwrite=False)
    assert len(path.read_bytes()) >= len(content) - 10


def test_names_that_keras_does_not_know():
    model = tiny_backbone()
    with pytest.raises(ValueError, match=r"Invalid filepath extension.*filepath=model\.pb"):
        model.save("model.pb")
    with pytest.raises(ValueError, match=r"must end in `.weights.h5`.*filepath=model\.pb"):
        model.save_weights("model.pb")


def test_what_is_not_a_path_of_this_machine_is_left_to_keras(tmp_path):
    model, file = tiny_backbone(), io.BytesIO()
    model.save(file, zipped=False)
    (tmp_path / "model.keras").write_bytes(file.getvalue())
    assert_holds(tmp_path / "model.keras", model, tiny_backbone())
    with pytest.raises(FileNotFoundError, match=r"missing/model\.keras"):
        model.save(tmp_path / "missing" / "model.keras")


def test_legacy_files(models, tmp_path, monkeypatch):
    path = tmp_path / "model.h5"
    models[0].save(path, include_optimizer=False)
    content = path.read_bytes()
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        models[1].save(path)
    assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_shards_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    model, path = tiny_backbone(), tmp_path / "model.weights.json"

    def save():
        model.save_weights(path, max_shard_size=0.00005)

    replace = os.replace

    def replace_shards(finished, place):
        if place.suffix == ".json":
            fail()
        replace(finished, place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_shards)
        with pytest.raises(KeyboardInterrupt):
            save()
    assert not path.exists()
    save()
    assert len([*tmp_path.iterdir()]) > 2
    loaded = tiny_backbone()
    loaded.load_weights(path)
    np.testing.assert_array_equal(weights_of(loaded)[0], weights_of(model)[0])
    with pytest.raises(ValueError, match=r"must be new with `max_shard_size`.*weights\.json'"):
        save()


def test_folders_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    model, path = tiny_backbone(), tmp_path / "model"
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(KeyboardInterrupt):
            model.save(path, zipped=False)
    assert [*tmp_path.iterdir()] == []
    model.save(path, zipped=False)
    loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(weights_of(loaded)[0], weights_of(model)[0])
    with pytest.raises(ValueError, match=r"must be new with `zipped=False`.*model'"):
        model.save(path, zipped=False)


def test_no_room_for_what_keras_writes_by_itself(tmp_path, small_disk):
    model = tiny_backbone()
    for save in (
        lambda: model.save(tmp_path / "model.h5"),
        lambda: model.save(tmp_path / "model", zipped=False),
        lambda: model.save_weights(tmp_path / "model.weights.json", max_shard_size=1),
    ):
        with pytest.raises(OSError, match=r"No space left on device: 0\.\d MB are needed"):
            save()
    assert [*tmp_path.iterdir()] == []
