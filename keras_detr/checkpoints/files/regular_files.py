"""Read untrusted files: regular ones only, and text only up to a size."""

import os
import pathlib
import stat

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_regular(path):
    """Raise an error if a path isn't a regular file: reading a pipe or device may never end.

    Args:
        path: str or path-like; symbolic links are followed.

    Raises:
        OSError: there is no such file.
        ValueError: it is a folder, a named pipe, a socket or a device.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise ValueError(
            f"{os.fspath(path)!r} must be a regular file, or a link to one, and is {kind}. Put the "
            "file itself in its place."
        )


def read_regular(path, largest=None):
    """Read a regular file.

    Args:
        path: str or path-like.
        largest: int, the most bytes that it may have; None for any number.

    Returns:
        bytes.

    Raises:
        OSError: it can't be read.
        ValueError: it isn't a regular file, or is larger.
    """
    check_regular(path)
    if largest is None:
        return pathlib.Path(path).read_bytes()
    with open(path, "rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(
            f"{os.fspath(path)!r} is larger than {largest:,} bytes, the most that such a file may "
            "have; is it another kind of file?"
        )
    return content
