"""Write files and folders atomically: after a crash or on a full disk, nothing partial is left.

Everything is written into a temporary folder beside its destination, and moved when it is complete.
A process that is killed leaves that folder behind; the next process that writes there removes it.
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
    fcntl = None  # type: ignore[assignment]

_PREFIX = ".keras_detr-unfinished-"
_BEFORE = "before"
_SECONDS_OF_A_DAY = 24 * 60 * 60


@contextlib.contextmanager
def folder_beside(path):
    """Yield an empty temporary folder beside `path`, a `pathlib.Path`, and remove it at the end.

    Raises:
        OSError: something inside the context can't be written; the message names `path`.
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
    """Return whether a path is a folder from `folder_beside`, in use or left behind."""
    return path.name.startswith(_PREFIX)


def check_space(folder, num_bytes):
    """Raise an `OSError` if the disk of a folder doesn't have enough space for a file."""
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise OSError(
            errno.ENOSPC,
            f"{os.strerror(errno.ENOSPC)}: {num_bytes / 1e6:,.1f} MB are needed, and "
            f"{free / 1e6:,.1f} MB are free",
            str(folder),
        )


def move_file(finished, path):
    """Move a file from a folder of `folder_beside` to its destination, and flush it to the disk.

    The move is atomic. The mode of a file that is replaced is kept.
    """
    _flush(finished)
    if path.exists():
        shutil.copymode(path, finished)
    os.replace(finished, path)
    _flush(path.parent)


def move_folder(finished, path):
    """Move a folder to its destination; if that fails, the folder that it replaces is restored.

    If the process is killed between the two moves, the next `folder_beside` restores it.
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
        _restore(finished.parent)
        raise
    _flush(path.parent)


@contextlib.contextmanager
def locked(folder):
    """Let only one process at a time write into a folder, if the disk supports locks."""
    descriptor = _lock(folder, wait=True)
    try:
        yield
    finally:
        _unlock(descriptor)


def _locked_folder(parent):
    """Make a temporary folder, and lock it for as long as this process lives."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        # Another process may have removed it before it was locked.
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            descriptor = _lock(folder)
            if folder.exists():
                return folder, descriptor
            _unlock(descriptor)


def _remove_abandoned(parent):
    """Remove the temporary folders of processes that were killed, if permissions allow it."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = _lock(folder)
            try:
                # Without locks, a folder that is a day old counts as abandoned.
                if descriptor or time.time() - folder.stat().st_mtime > _SECONDS_OF_A_DAY:
                    _restore(folder)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                _unlock(descriptor)


def _restore(folder):
    """Restore what `move_folder` moved out of the way, unless something has replaced it."""
    for before in folder.glob(f"{_BEFORE}/*"):
        path = folder.parent / before.name
        if not path.exists():
            os.replace(before, path)


def _lock(folder, wait=False):
    """Lock a folder until `_unlock` gets the descriptor returned: `None` if there are no locks.

    Raises:
        BlockingIOError: another process has locked it, and `wait` is false.
        FileNotFoundError: it doesn't exist.
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
    """Flush a file to the disk, or a folder's list of files where that is possible."""
    is_folder = path.is_dir()
    with contextlib.suppress(*((OSError,) if is_folder else ())):
        descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
