"""Read untrusted files: regular ones only, and text only up to a size."""

import json
import os
import pathlib
import stat

_LARGEST_JSON = 2**26
_GIT_LFS_POINTER = b"version https://git-lfs"
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_regular(path):
    """Raise an error if a path isn't a regular file: reading a pipe or device may never end."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise ValueError(
            f"{os.fspath(path)!r} must be a regular file, or a link to one, and is {kind}. Put the "
            "file itself in its place."
        )


def read_regular(path, largest=None):
    """Return the bytes of a regular file, which may have at most `largest` (`None`: any number)."""
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


def read_json_object(path):
    """Return the dict that a JSON file holds, or raise ValueError if it holds something else."""
    content = read_regular(path, _LARGEST_JSON)
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise unreadable(path, f"it isn't JSON ({error})") from error
    if not isinstance(found, dict):
        raise unreadable(path, f"it should hold a JSON object, and holds {found!r:.60}")
    return found


def unreadable(path, reason):
    """Return the `ValueError` for a regular file that can't be read, for a reason."""
    size = path.stat().st_size
    with path.open("rb") as file:
        is_pointer = file.read(len(_GIT_LFS_POINTER)) == _GIT_LFS_POINTER
    if is_pointer:
        advice = "It is a Git LFS pointer, not the file itself: run `git lfs pull`."
    else:
        advice = (
            "It was cut off or damaged on its way, or is another kind of file: delete it and "
            "download it again."
        )
    return ValueError(f"Can't read {str(path)!r} ({size:,} bytes): {reason}. {advice}")
