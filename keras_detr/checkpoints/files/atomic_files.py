"""Files and folders that are there whole or not at all, whenever the process or the disk ends.

What is written goes into a folder beside its place, and is moved when it is whole. A process that
was killed leaves such a folder behind; the next one that writes beside it removes it.
"""

import contextlib
import errno
import os
import shutil
import tempfile
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such locks.
    fcntl = None

_PREFIX = ".keras_detr-unfinished-"
_BEFORE = "before"
_SECONDS_OF_A_DAY = 24 * 60 * 60


@contextlib.contextmanager
def folder_beside(path):
    """Return an empty folder to write into, on the disk of `path`; it is removed at the end.

    Args:
        path: `pathlib.Path` of what is to be written, whose folder exists.

    Raises:
        OSError: something inside of the context can't be written; the message names `path`.
    """
    try:
        _remove_abandoned(path.parent)
        folder, descriptor = _locked_folder(path.parent)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            _unlock(descriptor)
    except OSError as error:
        reason = error.strerror or str(error)
        reason += ". It isn't written; what was there before is as it was"
        raise OSError(error.errno or errno.EIO, reason, str(path)) from error


def is_unfinished(path):
    """Return whether a path is that of a folder from `folder_beside`, in use or left behind."""
    return path.name.startswith(_PREFIX)


def check_space(folder, num_bytes):
    """Check that a disk has room, so that it isn't filled up in vain.

    Args:
        folder: str or path of a folder on the disk.
        num_bytes: int.

    Raises:
        OSError: it hasn't.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise OSError(
            errno.ENOSPC,
            f"{os.strerror(errno.ENOSPC)}: {num_bytes / 1e6:,.1f} MB are needed, and "
            f"{free / 1e6:,.1f} MB are free",
            str(folder),
        )


def move_file(finished, path):
    """Put a file in the place of another one, at once and for good.

    Args:
        finished: `pathlib.Path` of the file, in a folder from `folder_beside`.
        path: `pathlib.Path`, where it is to be. It keeps the mode of a file that is there.
    """
    _flush(finished)
    if path.exists():
        shutil.copymode(path, finished)
    os.replace(finished, path)
    _flush(path.parent)


def move_folder(finished, path):
    """Put a folder in the place of another one; if that fails, the other one comes back.

    A process killed between the two moves leaves the other one beside its place, from where
    the next `folder_beside` brings it back.

    Args:
        finished: `pathlib.Path` of the folder, in a folder from `folder_beside`.
        path: `pathlib.Path`, where it is to be.
    """
    for written in finished.rglob("*"):
        _flush(written)
    before = finished.parent / _BEFORE / path.name
    before.parent.mkdir()
    if path.exists():
        os.replace(path, before)
    try:
        os.replace(finished, path)
    except BaseException:
        _bring_back(finished.parent)
        raise
    _flush(path.parent)


@contextlib.contextmanager
def locked(folder):
    """Let one process at a time write into a folder, where the disk has locks."""
    descriptor = _lock(folder, wait=True)
    try:
        yield
    finally:
        _unlock(descriptor)


def _locked_folder(parent):
    """Make a folder, and lock it for as long as this process lives."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        # Another process may have removed it before it was locked.
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            descriptor = _lock(folder)
            if folder.exists():
                return folder, descriptor
            _unlock(descriptor)


def _remove_abandoned(parent):
    """Remove the folders of processes that were killed, as far as this one may."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = _lock(folder)
            try:
                # Where there are no locks, what is a day old isn't being written any more.
                if descriptor or time.time() - folder.stat().st_mtime > _SECONDS_OF_A_DAY:
                    _bring_back(folder)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                _unlock(descriptor)


def _bring_back(folder):
    """Move back what `move_folder` has moved out of the way, unless something is in its place."""
    for before in folder.glob(f"{_BEFORE}/*"):
        path = folder.parent / before.name
        if not path.exists():
            os.replace(before, path)


def _lock(folder, wait=False):
    """Lock a folder, until it is unlocked or the process ends in whatever way.

    Returns:
        int, or `None` where the system or the disk has no locks.

    Raises:
        BlockingIOError: another one has locked it, and `wait` is false.
        FileNotFoundError: it isn't there.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


def _unlock(descriptor):
    if descriptor is not None:
        os.close(descriptor)


def _flush(path):
    """Have a file, or a folder's list of files where that is possible, written to the disk."""
    is_folder = path.is_dir()
    with contextlib.suppress(*((OSError,) if is_folder else ())):
        descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
