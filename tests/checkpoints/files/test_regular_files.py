"""Files that wait for ever, never end or are too large are refused at once."""

import os
import socket

import pytest

from keras_detr.checkpoints.files.regular_files import read_json_object, read_regular


def pipe(path):
    os.mkfifo(path)


def listening(path):
    with socket.socket(socket.AF_UNIX) as server:
        # The path of a socket may be short only.
        os.chdir(path.parent)
        server.bind(path.name)


KINDS = {
    "a named pipe": pipe,
    "a socket": listening,
    "a folder": os.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    KINDS[kind](tmp_path / "a")
    (tmp_path / "b").symlink_to("a")
    for name in ("a", "b"):
        with pytest.raises(
            ValueError, match=rf"/{name}' must be a regular file, or a link to one, and is {kind}"
        ):
            read_regular(tmp_path / name)


def test_size_and_absence(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a") == read_regular(str(tmp_path / "a"), 5) == b"12345"
    with pytest.raises(ValueError, match=r"/a' is larger than 4 bytes"):
        read_regular(tmp_path / "a", 4)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "b")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it isn't JSON"),
        (b'{"a": 1', "it isn't JSON"),
        (b"\xff\xfe", "it isn't JSON"),
        (b"[" * 100_000, "it isn't JSON"),
        (b"[1, 2]", r"it should hold a JSON object, and holds \[1, 2\]"),
        (b"version https://git-lfs.github.com/spec/v1", "run `git lfs pull`"),
    ],
)
def test_what_is_no_json_object(tmp_path, content, reason):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"config\.json' \({len(content):,} bytes\): .*{reason}"):
        read_json_object(path)
    path.write_text('{"name": "\u00e9"}', encoding="utf-8")
    assert read_json_object(path) == {"name": "\u00e9"}
