"""What is said of a file that can't be read."""

_GIT_LFS_POINTER = b"version https://git-lfs"


def unreadable(path, reason):
    """Make the error of a checkpoint file that can't be read.

    Args:
        path: path of a regular file.
        reason: str or exception.

    Returns:
        `ValueError`.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        is_pointer = file.read(len(_GIT_LFS_POINTER)) == _GIT_LFS_POINTER
    if is_pointer:
        advice = "It is a Git LFS pointer, not the weights themselves: run `git lfs pull`."
    else:
        advice = (
            "It was cut off or damaged on its way, or is no checkpoint: delete it and download it "
            "again."
        )
    return ValueError(
        f"Can't read the checkpoint {str(path)!r} ({size:,} bytes): {reason}. {advice}"
    )
