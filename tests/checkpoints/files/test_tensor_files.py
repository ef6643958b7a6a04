"""Reading checkpoints: formats, wrappings, shards, and everything that isn't a checkpoint."""

import argparse
import json
import os
import pickle
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import serialize
from safetensors.numpy import save, save_file

from keras_detr.checkpoints import read_tensors

TENSORS = {
    "conv": np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype(np.float32),
    "empty": np.zeros((0, 4), np.float32),
    "scalar": np.array(3, np.int64),
}
BYTES = save(TENSORS)


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype
        np.testing.assert_array_equal(actual[name], value)


def test_safetensors(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    assert_same(read_tensors(tmp_path / "model.safetensors"), TENSORS)
    assert_same(read_tensors(str(tmp_path)), TENSORS)


@pytest.mark.parametrize("dtype", ["float64", "int32", "int16", "int8", "uint64", "uint8", "bool"])
def test_other_dtypes_stay(tmp_path, dtype):
    tensors = {"x": np.array([[0, 1], [1, 0]], dtype)}
    save_file(tensors, tmp_path / "x.safetensors")
    assert_same(read_tensors(tmp_path / "x.safetensors"), tensors)


def test_float16_becomes_float32(tmp_path):
    half = np.array([1.5, -2, np.inf, 6e-8], np.float16)
    save_file({"x": half}, tmp_path / "x.safetensors")
    assert_same(read_tensors(tmp_path / "x.safetensors"), {"x": half.astype(np.float32)})


def test_bfloat16_becomes_float32(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch_file

    x = torch.tensor([[1.0, -2.5, 3e38], [1e-40, float("inf"), 0.1]], dtype=torch.bfloat16)
    save_torch_file({"x": x}, tmp_path / "x.safetensors")
    torch.save({"x": x}, tmp_path / "x.bin")
    for name in ("x.safetensors", "x.bin"):
        assert_same(read_tensors(tmp_path / name), {"x": x.float().numpy()})


def test_a_dtype_that_numpy_lacks(tmp_path):
    entry = {"dtype": "float8_e4m3fn", "shape": (2,), "data": b"\0\0"}
    try:
        content = serialize({"weird": entry})
    except TypeError:  # newer versions want a TensorSpec
        header = json.dumps({"weird": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}})
        content = len(header).to_bytes(8, "little") + header.encode() + b"\0\0"
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"'weird'.*F8_E4M3"):
        read_tensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
@pytest.mark.parametrize("wrapping", [None, "model", "state_dict"])
@pytest.mark.parametrize("is_zip", [True, False])
def test_torch_files(tmp_path, suffix, wrapping, is_zip):
    torch = pytest.importorskip("torch")
    content = {name: torch.tensor(value) for name, value in TENSORS.items()}
    if wrapping:
        # The official training script stores its arguments beside the weights.
        content = {wrapping: content, "args": argparse.Namespace(lr=1e-4), "epoch": 3}
    path = tmp_path / f"checkpoint{suffix}"
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    assert_same(read_tensors(path), TENSORS)


def test_parameters_that_require_gradients(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(dict(torch.nn.Linear(2, 3).named_parameters()), tmp_path / "x.pth")
    assert read_tensors(tmp_path / "x.pth")["weight"].shape == (3, 2)


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"model": {}}, "text"])
def test_torch_files_without_tensors(tmp_path, content):
    torch = pytest.importorskip("torch")
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="no dictionary of tensors"):
        read_tensors(tmp_path / "x.pth")


class Intruder:
    """An object whose unpickling would run code."""

    def __reduce__(self):
        return (print, ("code ran",))


def test_torch_files_cannot_run_code(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    torch.save({"model": {"x": torch.zeros(1)}, "extra": Intruder()}, tmp_path / "x.pth")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pth")
    for name, code in (("x.pth", r"\w*\.?print"), ("whole.pth", r"torch\.nn\.\S+\.Linear")):
        message = rf"{name}' holds code \({code}\), and is refused"
        with pytest.raises(ValueError, match=message) as raised:
            read_tensors(tmp_path / name)
        assert "weights_only" not in str(raised.value)
        assert "safe_globals" not in str(raised.value)
    assert "code ran" not in capsys.readouterr().out


def test_another_pickle_is_refused_without_advice_to_run_it(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "x.pth").write_bytes(pickle.dumps({"a": Intruder()}))
    with pytest.raises(ValueError, match=r"isn't one that torch\.save writes") as raised:
        read_tensors(tmp_path / "x.pth")
    assert "weights_only" not in str(raised.value)


@pytest.mark.parametrize("kept", [0, 3, 60, -1])
def test_torch_files_cut_off(tmp_path, kept):
    torch = pytest.importorskip("torch")
    path = tmp_path / "detr-r50.pth"
    torch.save({"x": torch.arange(100.0)}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=rf"detr-r50\.pth.*\({path.stat().st_size:,} bytes\)"):
        read_tensors(path)


@pytest.mark.parametrize("is_zip", [True, False])
def test_torch_files_of_which_a_byte_is_damaged(tmp_path, is_zip):
    torch = pytest.importorskip("torch")
    path = tmp_path / "x.pth"
    content = {name: torch.tensor(value) for name, value in TENSORS.items()}
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    whole = path.read_bytes()
    for position in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 7]) + whole[position + 1 :])
        try:
            tensors = read_tensors(path)
        except ValueError as error:
            assert str(path) in str(error)
        else:
            if is_zip:
                # Only zip files have checksums, by which damaged weights are found.
                assert_same(tensors, TENSORS)


def test_torch_files_that_unpack_to_far_more(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"x": torch.zeros(1).expand(2**45)}, tmp_path / "expanded.pth")
    torch.save({"x": torch.zeros(2**20)}, tmp_path / "whole.pth")
    with (
        zipfile.ZipFile(tmp_path / "whole.pth") as whole,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in whole.namelist():
            bomb.writestr(name, whole.read(name))
    for name in ("expanded.pth", "bomb.pth"):
        with pytest.raises(ValueError, match=rf"{name}'.*unpacks to [0-9,]+ bytes"):
            read_tensors(tmp_path / name)


def test_tensors_that_numpy_has_not(tmp_path):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*quantized tensor creation", UserWarning)
        quantized = torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8)
    for name, tensor, kind in (
        ("sparse", torch.eye(3).to_sparse(), "sparse_coo"),
        ("meta", torch.zeros(3, device="meta"), "meta"),
        ("float8", torch.zeros(3, dtype=torch.float8_e4m3fn), "float8_e4m3fn"),
        ("quantized", quantized, "qint8"),
    ):
        torch.save({"x": torch.eye(3), "y": tensor}, tmp_path / f"{name}.pth")
        message = rf"tensor 'y' of .*{name}\.pth' is no plain array.*{kind}.*Save it dense"
        with pytest.raises(ValueError, match=message):
            read_tensors(tmp_path / f"{name}.pth")


def safetensors_file(path, content, data=b""):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(len(content).to_bytes(8, "little") + content + data)
    return path


@pytest.mark.parametrize(
    ("shape", "length", "message"),
    [
        ([1] * 65, 4, "tensor 'x' of .*has a shape of 65 axes"),
        ([0, 2**62], 0, "tensor 'x' of .*has a shape of 2 axes"),
        ([2**63, 2**63], 0, "overflow"),
        # Older readers name the header alone.
        ([-1, 1], 4, "invalid"),
        ([1.5], 4, "invalid"),
        ([3], 4, "invalid"),
    ],
)
def test_odd_shapes(tmp_path, shape, length, message):
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, length]}
    path = safetensors_file(tmp_path / "odd.safetensors", {"x": entry}, b"\0" * length)
    with pytest.raises(ValueError, match=rf"(?is){message}") as raised:
        read_tensors(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "content", [b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"__metadata__":' + b"[" * 20000]
)
def test_deep_headers(tmp_path, content):
    with pytest.raises(ValueError, match=r"deep\.safetensors"):
        read_tensors(safetensors_file(tmp_path / "deep.safetensors", content))


@pytest.mark.parametrize("content", ['{"weight_map":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_deep_indices(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ValueError, match=r"index\.json' .*isn't JSON"):
        read_tensors(tmp_path)


def test_without_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "x.pth").write_bytes(b"anything")
    with pytest.raises(ImportError, match=r'pip install "keras_detr\[torch\]".*\.safetensors'):
        read_tensors(tmp_path / "x.pth")
    save_file(TENSORS, tmp_path / "x.safetensors")
    assert_same(read_tensors(tmp_path / "x.safetensors"), TENSORS)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors.*Check the path"):
        read_tensors(tmp_path / "nowhere.safetensors")
    with pytest.raises(FileNotFoundError, match=r"holds no weights.*model\.safetensors"):
        read_tensors(tmp_path)


@pytest.mark.parametrize(
    ("name", "advice"), [("x.npz", ""), ("x.keras", "load_model"), ("x.weights.h5", "load_weights")]
)
def test_an_unknown_suffix(tmp_path, name, advice):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"must end in .*{name}'.*{advice}"):
        read_tensors(tmp_path / name)


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth", "model.safetensors.index.json"])
@pytest.mark.parametrize("is_link", [False, True])
def test_what_is_no_regular_file(tmp_path, name, is_link):
    pipe = tmp_path / ("pipe" if is_link else name)
    os.mkfifo(pipe)
    if is_link:
        (tmp_path / name).symlink_to(pipe)
    with pytest.raises(ValueError, match=rf"{name}' must be a regular file"):
        read_tensors(tmp_path / name)


def test_devices_and_folders_in_the_place_of_weights(tmp_path):
    (tmp_path / "zero.safetensors").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"zero\.safetensors' must be a regular file"):
        read_tensors(tmp_path / "zero.safetensors")
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(ValueError, match=r"model\.safetensors' must be a regular file"):
        read_tensors(tmp_path)


def test_a_git_lfs_pointer(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 166\n"
    (tmp_path / "model.safetensors").write_text(pointer)
    with pytest.raises(ValueError, match="git lfs pull"):
        read_tensors(tmp_path)


def check_damaged(content):
    """Read damaged bytes: either the clear error, or arrays if they happen to be valid."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.safetensors"
        path.write_bytes(content)
        try:
            tensors = read_tensors(path)
        except ValueError as error:
            assert str(path) in str(error)
            return False
        return all(isinstance(value, np.ndarray) for value in tensors.values())


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(BYTES) - 1))
def test_any_truncation_is_refused(kept):
    assert not check_damaged(BYTES[:kept])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_never_crash(content):
    check_damaged(content)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(BYTES) - 1), st.integers(1, 255))
def test_any_damaged_byte_never_crashes(position, change):
    damaged = bytearray(BYTES)
    damaged[position] ^= change
    check_damaged(bytes(damaged))


@pytest.mark.parametrize("length", [0, 1, 10**9, 2**60, 2**64 - 1])
def test_absurd_lengths_of_headers(length):
    assert not check_damaged(length.to_bytes(8, "little") + BYTES[8:])


def test_a_file_far_longer_than_its_header_says(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(BYTES)
    os.truncate(path, 2**40)
    with pytest.raises(ValueError, match=r"x\.safetensors' \(1,099,511,627,776 bytes\)"):
        read_tensors(path)
    index = tmp_path / "model.safetensors.index.json"
    index.touch()
    os.truncate(index, 2**40)
    with pytest.raises(ValueError, match="is larger than 67,108,864 bytes"):
        read_tensors(tmp_path)
    index.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"index\.json' \(100,000 bytes\): it isn't JSON"):
        read_tensors(tmp_path)


@pytest.fixture
def sharded(tmp_path):
    save_file({"a": np.ones(2, np.float32)}, tmp_path / "part-1.safetensors")
    save_file({"b": np.ones(3, np.float32)}, tmp_path / "part-2.safetensors")
    weight_map = {"a": "part-1.safetensors", "b": "part-2.safetensors"}
    write_index(tmp_path, weight_map)
    return tmp_path


def write_index(folder, weight_map):
    content = json.dumps({"metadata": {}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(content)


def test_shards(sharded):
    expected = {"a": np.ones(2, np.float32), "b": np.ones(3, np.float32)}
    assert_same(read_tensors(sharded), expected)
    assert_same(read_tensors(sharded / "model.safetensors.index.json"), expected)


def test_shards_of_torch(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.ones(2)}, tmp_path / "part-1.bin")
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "part-1.bin"}}))
    assert_same(read_tensors(tmp_path), {"a": np.ones(2, np.float32)})


def test_missing_shards_and_tensors(sharded):
    (sharded / "part-2.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"part-2\.safetensors"):
        read_tensors(sharded)
    write_index(sharded, {"a": "part-1.safetensors", "c": "part-1.safetensors"})
    with pytest.raises(ValueError, match="lack 1 tensors, the first is 'c'"):
        read_tensors(sharded)


@pytest.mark.parametrize(
    "weight_map",
    [
        {},
        [],
        None,
        {"a": 3},
        {"a": "../elsewhere.safetensors"},
        {"a": "model.safetensors.index.json"},
        {"a": ".."},
    ],
)
def test_malformed_indices(tmp_path, weight_map):
    write_index(tmp_path, weight_map)
    with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json"):
        read_tensors(tmp_path)
