"""Open a model in the Hub's layout, config.json beside its weights, on the Hub or on disk."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.regular_files import read_json_object
from ..files.tensor_files import WEIGHT_FILE_NAMES, read_tensors, shard_names
from .download import (
    CorruptedFileError,
    FileNotInRepositoryError,
    HubFile,
    NotInRepositoryError,
    fetch,
)
from .fields import naming_file
from .handles import handle_parts
from .preprocessor import preprocessor_normalization, preprocessor_sizes

logger = logging.getLogger("keras_detr")

_PREPROCESSOR_FILE = "preprocessor_config.json"
_CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class HubFolder:
    """A model in the Hub's layout.

    Attributes:
        location: the local folder, or the `HubFile` of config.json, pinned to its commit so that
            the weights come from the same one.
        config: dict, the content of config.json.

    Example:
        ```python
        from keras_detr.checkpoints import resolve_hub_folder, write_hub_folder

        tensors = {"model.query_position_embeddings.weight": np.zeros((5, 8), "float32")}
        colors = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        write_hub_folder("hub_folder", {"model_type": "detr"}, tensors, (800, 1333), *colors)
        print(resolve_hub_folder("hub_folder").config)  # {'model_type': 'detr'}
        ```
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
            return read_tensors(fetch_weights(self.location))
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
                return read_json_object(fetch(_sibling(self.location, _PREPROCESSOR_FILE)))
            path = self.location / _PREPROCESSOR_FILE
            return read_json_object(path) if path.exists() else None
        except CorruptedFileError:
            raise
        except NotInRepositoryError:
            return None
        except (FileNotFoundError, ValueError) as error:
            logger.warning("%s: %s", consequence, error)
            return None


def resolve_hub_folder(handle: str | os.PathLike[str]) -> HubFolder:
    """Find a model in the Hub's layout, and read its config.json.

    Args:
        handle: str "hf://owner/name" or "hf://owner/name@revision", or the path of a local folder.

    Raises:
        ValueError: the handle has another form, or config.json isn't JSON.
        FileNotFoundError: there is no config.json, or it can't be downloaded.

    Example:
        ```python
        from keras_detr.checkpoints import detr_settings, resolve_hub_folder

        keras_detr.DETR(keras_detr.ResNetBackbone(18), 2, "xyxy").export_to_transformers("folder")
        settings = detr_settings(resolve_hub_folder("folder").config)
        print(settings["num_classes"], settings["num_queries"])  # 2 100
        ```
    """
    parts = handle_parts(handle)
    if parts:
        location, path = _fetch_config(*parts)
        return HubFolder(location, _read_config(path))
    if not str(handle) or str(handle).startswith("hf://") or not Path(handle).is_dir():
        raise ValueError(
            "The handle of a model must be 'hf://owner/name', 'hf://owner/name@revision', or an "
            "existing folder that holds config.json and model.safetensors. "
            f"Received: {str(handle)!r}."
        )
    return HubFolder(Path(handle), _read_config(Path(handle) / _CONFIG_FILE))


def _read_config(path):
    if not path.exists():
        raise FileNotFoundError(
            f"The folder {str(path.parent)!r} holds no config.json, so it isn't in the Hub's "
            "layout: config.json beside model.safetensors."
        )
    return read_json_object(path)


def pinned(handle) -> str:
    """Return the handle of a repository with its present commit, so that all files come from it.

    Args:
        handle: str "hf://owner/name" or "hf://owner/name@revision". Other texts and paths are
            returned unchanged.

    Raises:
        FileNotFoundError, ConnectionError, PermissionError, CorruptedFileError: config.json can't
            be fetched, as `fetch` says.
    """
    parts = handle_parts(handle)
    if parts is None:
        return handle
    location, _ = _fetch_config(*parts)
    return f"hf://{location.repo_id}@{location.revision}"


def local_file(folder, name) -> Path:
    """Return the path of a file in a folder, downloaded if that is the handle of a repository.

    The path of a local folder's file is returned whether or not it exists.

    Raises:
        FileNotFoundError, ConnectionError, PermissionError, CorruptedFileError: as `fetch` does.
    """
    parts = handle_parts(folder)
    if parts is None:
        return Path(folder) / name
    return fetch(HubFile(parts[0], name, parts[1] or "main"))


def fetch_weights(first) -> Path:
    """Return the path of a repository's weights, and fetch its shards.

    Args:
        first: `HubFile` of the weights that are preferred. Where the repository doesn't have them,
            the others of `WEIGHT_FILE_NAMES` are looked for, if it is one of these or config.json.

    Raises:
        NotInRepositoryError: there are none of them.
        FileNotFoundError, ConnectionError, PermissionError, CorruptedFileError: as `fetch` does.
    """
    if first.filename not in (_CONFIG_FILE, *WEIGHT_FILE_NAMES):
        return fetch(first)
    unreachable = None
    for name in WEIGHT_FILE_NAMES:
        hub_file = first if name == first.filename else _sibling(first, name)
        try:
            path = fetch(hub_file, local_files_only=unreachable is not None)
        except FileNotInRepositoryError:
            continue
        except NotInRepositoryError:
            raise
        except FileNotFoundError as error:
            # Without a connection the cache may still hold one of the other names.
            unreachable = unreachable or error
            continue
        if name.endswith(".index.json"):
            for shard in shard_names(path):
                fetch(_sibling(first, shard))
        return path
    if unreachable is not None:
        raise unreachable
    raise NotInRepositoryError(
        f"The Hub repository {first.repo_id!r} holds no weights at revision "
        f"{first.revision!r}. Expected one of {', '.join(WEIGHT_FILE_NAMES)}."
    )


def _fetch_config(repo_id, revision):
    """Return the `HubFile` of a repository's config.json, pinned to its commit, and its path."""
    path = fetch(HubFile(repo_id, _CONFIG_FILE, revision or "main"))
    # The cache keeps every file in a folder named by its commit.
    return HubFile(repo_id, _CONFIG_FILE, path.parent.name), path


def _sibling(hub_file, name):
    """Return another file of the repository and revision of a `HubFile`."""
    return HubFile(hub_file.repo_id, name, hub_file.revision)
