"""Files that wait for ever, never end or are too large are refused at once."""

import os
import socket

import pytest

from keras_detr.checkpoints.files.regular_files import read_regular


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
