"""Files and folders that are there whole or not at all."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from keras_detr.checkpoints.files import atomic_files
from keras_detr.checkpoints.files.atomic_files import (
    check_space,
    folder_beside,
    locked,
    move_file,
    move_folder,
)

needs_locks = pytest.mark.skipif(atomic_files.fcntl is None, reason="Windows has no such locks")


def write_whole(path, content):
    with folder_beside(path) as folder:
        check_space(folder, len(content))
        (folder / path.name).write_bytes(content)
        move_file(folder / path.name, path)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def run_until_killed(folder, code):
    """Run code in a process of its own in a folder, whose `kill` ends it like a power cut."""
    start = (
        "import os, pathlib, signal\n"
        "from keras_detr.checkpoints.files.atomic_files import *\n"
        "kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, "-c", start + code], cwd=folder)
    assert run.returncode == -signal.SIGKILL


def test_a_file_is_replaced_and_keeps_its_mode(tmp_path):
    path = tmp_path / "file"
    for content in (b"old", b"new", b"newer"):
        write_whole(path, content)
        path.chmod(0o640)
        assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyboardInterrupt("now"), "now"),
        (
            OSError(errno.EIO, "broken"),
            r"broken\. It isn't written; what was .* as it was: '.*file'",
        ),
    ],
)
def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch, function, error, message):
    write_whole(tmp_path / "file", b"old")

    def fail(*_):
        raise error

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error), match=message):
        write_whole(tmp_path / "file", b"new")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_full_disk(tmp_path, monkeypatch):
    write_whole(tmp_path / "file", b"old")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    check_space(tmp_path, 1_000_000)
    message = r"No space left on device: 2\.0 MB are needed, and 1\.0 MB are free\. .*file'"
    with pytest.raises(OSError, match=message) as raised:
        write_whole(tmp_path / "file", bytes(2_000_000))
    assert raised.value.errno == errno.ENOSPC
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing/file'"):
        write_whole(tmp_path / "missing" / "file", b"new")


@needs_locks
def test_leftovers_of_killed_processes_are_removed(tmp_path):
    write_whole(tmp_path / "file", b"old")
    run_until_killed(tmp_path, "with folder_beside(pathlib.Path('file')): kill()")
    assert len(names(tmp_path)) == 2
    assert (tmp_path / "file").read_bytes() == b"old"
    with folder_beside(tmp_path / "file") as folder:
        assert names(tmp_path) == sorted([folder.name, "file"])
        # That of a process that lives stays.
        write_whole(tmp_path / "other", b"new")
        assert names(tmp_path) == sorted([folder.name, "file", "other"])
    assert names(tmp_path) == ["file", "other"]


def test_leftovers_where_the_disk_has_no_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_files, "fcntl", None)
    day = 24 * 60 * 60
    for name, age in (("young", day / 2), ("old", 2 * day)):
        folder = tmp_path / f".keras_detr-unfinished-{name}"
        folder.mkdir()
        os.utime(folder, (time.time() - age,) * 2)
    write_whole(tmp_path / "file", b"new")
    assert names(tmp_path) == [".keras_detr-unfinished-young", "file"]


@needs_locks
def test_a_folder_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    make = atomic_files.tempfile.mkdtemp
    removed = []

    def make_and_remove(**kwargs):
        folder = make(**kwargs)
        if not removed:
            removed.append(folder)
            os.rmdir(folder)
        return folder

    monkeypatch.setattr(atomic_files.tempfile, "mkdtemp", make_and_remove)
    write_whole(tmp_path / "file", b"new")
    assert names(tmp_path) == ["file"]


def write_folder(path, content):
    with folder_beside(path) as unfinished:
        (unfinished / path.name / "inner").mkdir(parents=True)
        (unfinished / path.name / "inner" / "file").write_text(content)
        move_folder(unfinished / path.name, path)


def test_a_folder_is_replaced(tmp_path):
    for content in ("old", "new"):
        write_folder(tmp_path / "folder", content)
        assert (tmp_path / "folder" / "inner" / "file").read_text() == content
        assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failing_move_of_a_folder_brings_the_old_one_back(tmp_path, monkeypatch, failing):
    write_folder(tmp_path / "folder", "old")
    replace, calls = os.replace, []

    def fail_once(*paths):
        calls.append(paths)
        if len(calls) == failing:
            raise KeyboardInterrupt
        replace(*paths)

    monkeypatch.setattr(os, "replace", fail_once)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "folder", "new")
    assert (tmp_path / "folder" / "inner" / "file").read_text() == "old"
    assert names(tmp_path) == ["folder"]


@needs_locks
def test_a_kill_between_the_moves_of_a_folder_is_mended_by_the_next_write(tmp_path):
    write_folder(tmp_path / "folder", "old")
    run_until_killed(
        tmp_path,
        "replace = os.replace\n"
        "os.replace = lambda *paths: (replace(*paths), kill())\n"
        "path = pathlib.Path('folder').absolute()\n"
        "with folder_beside(path) as unfinished:\n"
        "    (unfinished / 'folder').mkdir()\n"
        "    move_folder(unfinished / 'folder', path)\n",
    )
    assert "folder" not in names(tmp_path)
    write_whole(tmp_path / "other", b"new")
    assert names(tmp_path) == ["folder", "other"]
    assert (tmp_path / "folder" / "inner" / "file").read_text() == "old"


@needs_locks
def test_one_process_at_a_time(tmp_path):
    code = (
        "import pathlib\n"
        "from keras_detr.checkpoints.files.atomic_files import locked\n"
        "with locked(pathlib.Path('.')):\n"
        "    pathlib.Path('inside').touch()\n"
    )
    with locked(tmp_path):
        other = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=1)
        assert names(tmp_path) == []
    assert other.wait() == 0
    assert names(tmp_path) == ["inside"]
