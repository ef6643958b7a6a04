"""Download one file of the Hugging Face Hub into its cache, and verify it at every load.

huggingface_hub transfers the file: it shows progress, resumes an interrupted download, and gives a
file its final name only when it is complete. What it doesn't do is done here: the content is
compared with a hash, which detects a damaged transfer or disk, and a damaged file is downloaded
again.
"""

import hashlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

logger = logging.getLogger("keras_detr")


@dataclass(frozen=True)
class HubFile:
    """Name one file of a repository on the Hub.

    Attributes:
        repo_id: str, "owner/name".
        filename: str, the path inside the repository.
        revision: str, a branch, a tag or a commit.
        sha256: optional str, the SHA-256 of the content in hexadecimal, or its first 8 digits or
            more. Without it the Hub's own hash is compared.

    Example:
        ```python
        from keras_detr.checkpoints import HubFile

        weights = HubFile("facebook/detr-resnet-50", "model.safetensors")
        print(weights)  # facebook/detr-resnet-50/model.safetensors
        ```
    """

    repo_id: str
    filename: str
    revision: str = "main"
    sha256: str | None = None

    def __post_init__(self):
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{8,64}", self.sha256):
            raise ValueError(
                "`sha256` must be 8 to 64 lower-case hexadecimal digits. "
                f"Received: {self.sha256!r}."
            )

    def __str__(self):
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return f"{self.repo_id}{revision}/{self.filename}"


class CorruptedFileError(ValueError):
    """Raised when the content of a downloaded file doesn't match its hash.

    Example:
        ```python
        from keras_detr.checkpoints import CorruptedFileError

        try:
            keras_detr.ObjectDetector.from_preset("detr_r50")
        except CorruptedFileError as error:
            print(error)  # The disk or the connection is faulty: the second download was wrong too.
        ```
    """


class NotInRepositoryError(FileNotFoundError):
    """Raised when the Hub answers that a repository, a revision or a file doesn't exist.

    Example:
        ```python
        from keras_detr.checkpoints import NotInRepositoryError

        try:
            keras_detr.ObjectDetector.from_preset("detr_r50")
        except NotInRepositoryError as error:
            print(error)  # The message names what the Hub doesn't have.
        ```
    """


class FileNotInRepositoryError(NotInRepositoryError):
    """Raised when the Hub answers that a repository has no such file."""


def fetch(hub_file: HubFile, local_files_only: bool = False) -> Path:
    """Return the verified local path of a file on the Hub, downloading it if necessary.

    A file with the wrong content is removed from the cache and downloaded once more.

    Args:
        hub_file: `HubFile`.
        local_files_only: whether to look in the cache only.

    Returns:
        Path inside huggingface_hub's cache. The environment variables HF_HOME, HF_ENDPOINT,
        HF_TOKEN and HF_HUB_OFFLINE work as they do for huggingface_hub.

    Raises:
        FileNotFoundError: the Hub can't be reached and the file isn't in the cache, or it
            doesn't exist (then a `NotInRepositoryError`).
        PermissionError: the repository requires a login or consent to its terms.
        ConnectionError: the transfer was interrupted. No partial file is left (huggingface_hub
            before 1.20 may keep a part, under another name).
        OSError: the cache can't be written, for example because the disk is full.
        CorruptedFileError: the content is wrong even after a second download, or the file can't be
            downloaded again. It is removed from the cache.
        ValueError: the repository's name is malformed.

    Example:
        <!-- not run: it needs the network -->
        ```python
        from keras_detr.checkpoints import HubFile, fetch, read_tensors

        path = fetch(HubFile("facebook/detr-resnet-50", "model.safetensors"))
        print(len(read_tensors(path)), "tensors")
        ```
    """
    path = _download(hub_file, local_files_only)
    try:
        _verify(hub_file, path)
    except CorruptedFileError as error:
        try:
            path = _download(hub_file, local_files_only)
        except (OSError, ValueError):
            raise error from None
        _verify(hub_file, path)
    logger.info("Loaded %s of commit %s.", hub_file, _commit_of(hub_file, path))
    return path


def _download(hub_file, local_files_only):
    """Return the local path of a file on the Hub; see `fetch`."""
    try:
        return Path(
            hf_hub_download(
                hub_file.repo_id,
                hub_file.filename,
                revision=hub_file.revision,
                local_files_only=local_files_only,
            )
        )
    except LocalEntryNotFoundError as error:
        raise FileNotFoundError(_advice_without_network(hub_file, local_files_only)) from error
    except GatedRepoError as error:
        raise PermissionError(
            f"The Hub repository {hub_file.repo_id!r} is gated. Accept its terms on "
            f"{constants.ENDPOINT}/{hub_file.repo_id}, run `hf auth login`, and try again."
        ) from error
    except RepositoryNotFoundError as error:
        raise NotInRepositoryError(
            f"There is no Hub repository {hub_file.repo_id!r} at {constants.ENDPOINT}. Check the "
            "spelling; if the repository is private, run `hf auth login` first."
        ) from error
    except RevisionNotFoundError as error:
        raise NotInRepositoryError(
            f"The Hub repository {hub_file.repo_id!r} has no revision {hub_file.revision!r}. "
            "Pass a branch, a tag or a commit that exists."
        ) from error
    except EntryNotFoundError as error:
        raise FileNotInRepositoryError(
            f"The Hub repository {hub_file.repo_id!r} has no file {hub_file.filename!r} at "
            f"revision {hub_file.revision!r}. Check the names of its files."
        ) from error
    except HFValidationError as error:
        raise ValueError(
            f"`repo_id` must have the form 'owner/name'. Received: {hub_file.repo_id!r}."
        ) from error
    except Exception as error:  # The HTTP client's types differ between versions of the package.
        if isinstance(error, OSError) and error.errno is not None:
            # The disk failed, not the network.
            raise OSError(
                error.errno,
                f"{error.strerror}: {str(hub_file)!r} can't be written into the cache "
                f"{constants.HF_HUB_CACHE!r}. Free some space or allow access, or set HF_HOME to "
                "another folder",
            ) from error
        raise ConnectionError(
            f"The download of {str(hub_file)!r} from {constants.ENDPOINT} broke off: {error}. "
            "Nothing half-written was kept; try again."
        ) from error


def _advice_without_network(hub_file, local_files_only):
    """Return a message with the command that downloads a file, and where to copy it."""
    if constants.HF_HUB_OFFLINE:
        why = "HF_HUB_OFFLINE forbids downloading it"
    elif local_files_only:
        why = "only the cache was searched"
    else:
        why = f"{constants.ENDPOINT} can't be reached"
    revision = "" if hub_file.revision == "main" else f" --revision {hub_file.revision}"
    folder = "models--" + hub_file.repo_id.replace("/", "--")
    return (
        f"The file {hub_file.filename!r} of the Hub repository {hub_file.repo_id!r} isn't in the "
        f"cache {constants.HF_HUB_CACHE!r}, and {why}. With a connection, run `hf download "
        f"{hub_file.repo_id} {hub_file.filename}{revision}`; from another machine, copy the folder "
        f"{folder!r} of its cache into this one. Or pass a downloaded file as `weights=`, or a "
        "local folder with config.json and model.safetensors as the preset."
    )


def _verify(hub_file, path):
    """Raise `CorruptedFileError` if a file's content doesn't have the hash it should have."""
    blob = _blob_of(path)
    hub_hash = _hub_hash(hub_file, path, blob)
    expected = hub_file.sha256 or hub_hash
    if expected is None:
        return
    actual = _content_hash(path, None if hub_file.sha256 else hub_hash)
    if actual.startswith(expected):
        return
    kind = "Git hash" if len(expected) == 40 and not hub_file.sha256 else "SHA-256"
    received = f"{str(hub_file)!r} should have the {kind} {expected}, but has {actual}."
    if _content_hash(path, hub_hash) == hub_hash:
        # The Hub's file has changed: removing it wouldn't help, and others may be using it.
        raise CorruptedFileError(
            f"{received} It came intact from {constants.ENDPOINT}, so the repository serves other "
            "content than was expected: pass the `revision` that is meant, or another `sha256`."
        )
    try:
        for wrong in (path, blob, blob.resolve()):
            wrong.unlink(missing_ok=True)
    except OSError:
        advice = (
            f"Delete {str(path)!r} and {str(blob)!r}, which couldn't be removed, and try again."
        )
    else:
        advice = "It was removed from the cache: try again, with a connection, to download it anew."
    raise CorruptedFileError(
        f"{received} The content was damaged on its way or on the disk. {advice}"
    )


def _hub_hash(hub_file, path, blob):
    """Return the Hub's own hash of a cached file, or `None` if it can't be found out.

    The cache names a blob by its hash: the SHA-256 of LFS files, Git's SHA-1 of others. Without
    symbolic links the file has its own name, and only the Hub knows the hash.
    """
    tag = blob.name
    if blob == path:
        try:
            address = hf_hub_url(
                hub_file.repo_id, hub_file.filename, revision=_commit_of(hub_file, path)
            )
            tag = get_hf_file_metadata(address).etag or ""
        except Exception:  # Without a connection the hash isn't known.
            return None
    return tag if re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", tag) else None


def _commit_of(hub_file, path):
    """Return the commit of a cached file: the cache keeps it in a folder named by its commit."""
    return path.parents[hub_file.filename.count("/")].name


def _content_hash(path, like):
    """Return a file's SHA-256, or its Git hash if `like` is one."""
    with path.open("rb") as file:
        if like is None or len(like) == 64:
            return hashlib.file_digest(file, "sha256").hexdigest()
        # Git's hash of a file.
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        return hashlib.file_digest(file, lambda: digest).hexdigest()


def _blob_of(path):
    """Return the blob that a cached file links to, or the file itself if it isn't a link.

    Only one link is followed: a blob may itself link to a store shared by all repositories, whose
    files aren't named by these hashes.
    """
    return path.parent / os.readlink(path) if path.is_symlink() else path
