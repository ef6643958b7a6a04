"""Models in the Hub's layout, on a Hub at 127.0.0.1 and in local folders."""

import io
import json
import os

import numpy as np
import pytest
from safetensors.numpy import save

from keras_detr.checkpoints import resolve_hub_folder

from .hub_server import COMMIT, HubServer, run_client

CONFIG = json.dumps({"model_type": "detr"}).encode()
FIRST, SECOND = save({"a": np.ones(3, "float32")}), save({"b": np.zeros(2, "float32")})
INDEX = json.dumps({"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}).encode()
SHARDED = {
    "config.json": CONFIG,
    "model.safetensors.index.json": INDEX,
    "part-1.safetensors": FIRST,
    "part-2.safetensors": SECOND,
}
READ = "{k: v.tolist() for k, v in resolve_hub_folder('hf://owner/model').read_tensors().items()}"


@pytest.fixture
def ask(tmp_path):
    """Give a function that puts files on a Hub and evaluates an expression in a client process."""
    server = HubServer()

    def ask(expression, files, **arguments):
        server.files = {("owner/model", name): content for name, content in files.items()}
        places = {"endpoint": server.endpoint, "home": tmp_path / "home"}
        return run_client(expression, **places | arguments)

    ask.server = server
    yield ask
    server.close()


def torch_bytes(tensors):
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save({k: torch.tensor(v) for k, v in tensors.items()}, file)
    return file.getvalue()


def write(folder, files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_config_and_weights_come_from_one_commit(ask):
    files = {"config.json": CONFIG, "model.safetensors": FIRST}
    expression = "[(f := resolve_hub_folder('hf://owner/model')).config, f.location.revision]"
    assert ask(expression, files)["value"] == [{"model_type": "detr"}, COMMIT]
    ask.server.log.clear()
    assert ask(READ, files)["value"] == {"a": [1, 1, 1]}
    assert ("HEAD", f"/owner/model/resolve/{COMMIT}/model.safetensors", None) in ask.server.log
    assert ask(READ, files, is_offline=True)["value"] == {"a": [1, 1, 1]}


def test_safetensors_are_preferred_to_torch(ask):
    files = {"config.json": CONFIG, "model.safetensors": FIRST, "pytorch_model.bin": b"never read"}
    assert ask(READ, files)["value"] == {"a": [1, 1, 1]}


def test_torch_is_the_way_out(ask):
    files = {"config.json": CONFIG, "pytorch_model.bin": torch_bytes({"a": [4.0]})}
    assert ask(READ, files)["value"] == {"a": [4]}
    assert ask(READ, files, is_offline=True)["value"] == {"a": [4]}


def test_shards(ask):
    assert ask(READ, SHARDED)["value"] == {"a": [1, 1, 1], "b": [0, 0]}
    assert ask(READ, SHARDED, is_offline=True)["value"] == {"a": [1, 1, 1], "b": [0, 0]}


def test_no_weights(ask):
    answer = ask(READ, {"config.json": CONFIG})
    assert "FileNotFoundError" in answer["error"]
    assert "holds no weights" in answer["message"]
    answer = ask(READ, {"config.json": CONFIG}, is_offline=True)
    command = f"`hf download owner/model model.safetensors --revision {COMMIT}`"
    assert command in answer["message"]


def test_local_folders(tmp_path):
    single = write(tmp_path / "single", {"config.json": CONFIG, "model.safetensors": FIRST})
    assert resolve_hub_folder(single).config == {"model_type": "detr"}
    np.testing.assert_array_equal(resolve_hub_folder(str(single)).read_tensors()["a"], np.ones(3))
    sharded = resolve_hub_folder(write(tmp_path / "sharded", SHARDED))
    assert sharded.read_tensors().keys() == {"a", "b"}


def test_a_local_folder_with_torch_weights(tmp_path):
    files = {"config.json": CONFIG, "pytorch_model.bin": torch_bytes({"a": [4.0]})}
    folder = resolve_hub_folder(write(tmp_path / "model", files))
    np.testing.assert_array_equal(folder.read_tensors()["a"], [4.0])


def test_local_folders_that_lack_something(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json"):
        resolve_hub_folder(tmp_path)
    write(tmp_path, {"config.json": CONFIG})
    with pytest.raises(FileNotFoundError, match="holds no weights"):
        resolve_hub_folder(tmp_path).read_tensors()


SIZES = json.dumps({"size": {"shortest_edge": 480, "longest_edge": 640}}).encode()
READ_SIZES = "resolve_hub_folder('hf://owner/model').read_preprocessor_sizes()"


def test_sizes_of_a_repository(ask):
    files = {"config.json": CONFIG, "preprocessor_config.json": SIZES}
    assert ask(READ_SIZES, {"config.json": CONFIG})["value"] is None
    assert ask(READ_SIZES, files)["value"] == [480, 640]
    assert ask(READ_SIZES, files, is_offline=True)["value"] == [480, 640]


def test_sizes_that_cannot_be_fetched(ask):
    ask(READ, {"config.json": CONFIG, "model.safetensors": FIRST})
    answer = ask(READ_SIZES, {}, is_offline=True)
    assert answer["value"] is None
    assert "Raw images are resized by default" in answer["progress"]


def test_sizes_of_a_local_folder(tmp_path, caplog):
    folder = resolve_hub_folder(write(tmp_path, {"config.json": CONFIG}))
    assert folder.read_preprocessor_sizes() is None
    write(tmp_path, {"preprocessor_config.json": SIZES})
    assert folder.read_preprocessor_sizes() == (480, 640)
    assert caplog.records == []


def test_normalization_of_a_local_folder(tmp_path, caplog):
    folder = resolve_hub_folder(write(tmp_path, {"config.json": CONFIG}))
    assert folder.read_normalization() is None
    write(tmp_path, {"preprocessor_config.json": b'{"image_mean": [0, 0, 0], "image_std": 1}'})
    assert folder.read_normalization() == ((0.0,) * 3, (255.0,) * 3)
    assert caplog.records == []
    write(tmp_path, {"preprocessor_config.json": b'{"image_std": 0}'})
    with pytest.raises(ValueError, match="`image_std`"):
        folder.read_normalization()
    write(tmp_path, {"preprocessor_config.json": b"{"})
    assert folder.read_normalization() is None
    (record,) = caplog.records
    assert record.getMessage().startswith("Colors are normalized by default")


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b"", b'{"size": {"height": 5}}'])
def test_sizes_that_are_not_understood(tmp_path, caplog, content):
    write(tmp_path, {"config.json": CONFIG, "preprocessor_config.json": content})
    assert resolve_hub_folder(tmp_path).read_preprocessor_sizes() is None
    (record,) = caplog.records
    assert record.getMessage().startswith("Raw images are resized by default")


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b""])
def test_a_config_that_is_no_json_object(tmp_path, content):
    write(tmp_path, {"config.json": content})
    with pytest.raises(ValueError, match=r"config\.json"):
        resolve_hub_folder(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_config_that_is_no_regular_file(tmp_path, kind):
    path = tmp_path / "config.json"
    make = {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
    }
    make[kind]()
    with pytest.raises(ValueError, match=r"config\.json' must be a regular file"):
        resolve_hub_folder(tmp_path)


@pytest.mark.parametrize(
    "handle", ["hf://", "hf://name", "hf://a/b/c", "hf://owner/name@", "/no/such/folder", ""]
)
def test_malformed_handles(handle, tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path / "elsewhere", {}))
    with pytest.raises(ValueError, match="hf://owner/name") as raised:
        resolve_hub_folder(handle)
    assert repr(handle) in str(raised.value)
