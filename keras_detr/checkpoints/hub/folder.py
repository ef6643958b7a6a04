"""Open a model in the Hub's layout, config.json beside its weights, on the Hub or on disk."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.regular_files import read_json_object
from ..files.tensor_files import WEIGHT_FILE_NAMES, read_tensors, shard_names
from .download import CorruptedFileError, HubFile, NotInRepositoryError, fetch
from .fields import naming_file
from .preprocessor import preprocessor_normalization, preprocessor_sizes

logger = logging.getLogger("keras_detr")

_PREPROCESSOR_FILE = "preprocessor_config.json"
_HANDLE = re.compile(r"hf://(?P<repo_id>[\w.-]+/[\w.-]+)(@(?P<revision>[^\s@]+))?")


@dataclass(frozen=True)
class HubFolder:
    """A model in the Hub's layout.

    Attributes:
        location: the local folder, or the `HubFile` of config.json, pinned to its commit so that
            the weights come from the same one.
        config: dict, the content of config.json.
    """

    location: Path | HubFile
    config: dict[str, Any]

    def read_tensors(self) -> dict[str, np.ndarray]:
        """Read the weights under their own names, downloading them if necessary.

        Safetensors are preferred to torch's files, and one file to shards.

        Raises:
            FileNotFoundError, ConnectionError, PermissionError, CorruptedFileError, ValueError:
                as `fetch` and `read_tensors` do.
        """
        if isinstance(self.location, HubFile):
            return read_tensors(_fetch_weights(self.location))
        return read_tensors(self.location)

    def read_preprocessor_sizes(self) -> tuple[int, int] | None:
        """Read the sides that images are resized to, from preprocessor_config.json.

        Returns:
            (short side, the long side's limit) in pixels. None if there is no such file, and, with
            a warning in the log, if it can't be downloaded or isn't understood.

        Raises:
            ConnectionError, PermissionError, CorruptedFileError: as `fetch` does.
        """
        consequence = "Raw images are resized by default, not as the model says"
        config = self._read_preprocessor_config(consequence)
        try:
            return None if config is None else preprocessor_sizes(config)
        except ValueError as error:
            logger.warning("%s: %s", consequence, error)
            return None

    def read_normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Read the mean and standard deviation of colors, from preprocessor_config.json.

        Returns:
            mean and standard deviation of red, green and blue, of values in 0..255. None if there
            is no such file, and, with a warning in the log, if it can't be downloaded or isn't
            JSON.

        Raises:
            ValueError: its values are invalid; the message names the field.
            ConnectionError, PermissionError, CorruptedFileError: as `fetch` does.
        """
        config = self._read_preprocessor_config(
            "Colors are normalized by default, with ImageNet's mean and standard deviation, not as "
            "the model says"
        )
        if config is None:
            return None
        with naming_file(self._name_of(_PREPROCESSOR_FILE)):
            return preprocessor_normalization(config)

    def _name_of(self, name):
        """Return what to call a file of the folder in a message."""
        is_on_hub = isinstance(self.location, HubFile)
        return f"hf://{self.location.repo_id}/{name}" if is_on_hub else str(self.location / name)

    def _read_preprocessor_config(self, consequence):
        """Return the content of preprocessor_config.json, or None if there is no such file.

        If it can't be read, the `consequence` is logged, and None is returned too.
        """
        try:
            if isinstance(self.location, HubFile):
                return read_json_object(_fetch_sibling(self.location, _PREPROCESSOR_FILE))
            path = self.location / _PREPROCESSOR_FILE
            return read_json_object(path) if path.exists() else None
        except CorruptedFileError:
            raise
        except NotInRepositoryError:
            return None
        except (FileNotFoundError, ValueError) as error:
            logger.warning("%s: %s", consequence, error)
            return None


def resolve_hub_folder(handle) -> HubFolder:
    """Find a model in the Hub's layout, and read its config.json.

    Args:
        handle: str "hf://owner/name" or "hf://owner/name@revision", or the path of a local folder.

    Raises:
        ValueError: the handle has another form, or config.json isn't JSON.
        FileNotFoundError: there is no config.json, or it can't be downloaded.
    """
    match = _HANDLE.fullmatch(str(handle))
    if match:
        asked = HubFile(match["repo_id"], "config.json", match["revision"] or "main")
        path = fetch(asked)
        # The cache keeps every file in a folder named by its commit.
        commit = path.parent.name
        location = HubFile(asked.repo_id, asked.filename, commit)
        return HubFolder(location, _read_config(path))
    if not str(handle) or str(handle).startswith("hf://") or not Path(handle).is_dir():
        raise ValueError(
            "The handle of a model must be 'hf://owner/name', 'hf://owner/name@revision', or an "
            "existing folder that holds config.json and model.safetensors. "
            f"Received: {str(handle)!r}."
        )
    return HubFolder(Path(handle), _read_config(Path(handle) / "config.json"))


def _read_config(path):
    if not path.exists():
        raise FileNotFoundError(
            f"The folder {str(path.parent)!r} holds no config.json, so it isn't in the Hub's "
            "layout: config.json beside model.safetensors."
        )
    return read_json_object(path)


def _fetch_weights(config_file):
    """Return the path of the first of `WEIGHT_FILE_NAMES` in a repository, and fetch its shards."""
    unreachable = None
    for name in WEIGHT_FILE_NAMES:
        try:
            path = _fetch_sibling(config_file, name, local_files_only=unreachable is not None)
        except NotInRepositoryError:
            continue
        except FileNotFoundError as error:
            # Without a connection the cache may still hold one of the other names.
            unreachable = unreachable or error
            continue
        if name.endswith(".index.json"):
            for shard in shard_names(path):
                _fetch_sibling(config_file, shard)
        return path
    if unreachable is not None:
        raise unreachable
    raise NotInRepositoryError(
        f"The Hub repository {config_file.repo_id!r} holds no weights at revision "
        f"{config_file.revision!r}. Expected one of {', '.join(WEIGHT_FILE_NAMES)}."
    )


def _fetch_sibling(config_file, name, local_files_only=False):
    """Download a file of the repository and commit that `config_file` belongs to."""
    return fetch(HubFile(config_file.repo_id, name, config_file.revision), local_files_only)
