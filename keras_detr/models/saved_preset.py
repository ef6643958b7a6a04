"""Folders that hold a model of ours: its configuration and its weights."""

import json
import os
import tempfile
from pathlib import Path

import keras

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.weights.h5"
_FORMAT = "keras_detr"


def save_preset(model, folder):
    """Write a model's configuration and weights to a folder, each file whole or not at all.

    Args:
        model: `keras.Model` with a `get_config`.
        folder: str or path; created where it doesn't exist. Other files in it are left alone.

    Raises:
        ValueError: `folder` names a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`folder` must name a folder. Received the file {str(folder)!r}.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as unfinished:
        unfinished = Path(unfinished)
        config = {"format": _FORMAT, "model": keras.saving.serialize_keras_object(model)}
        (unfinished / CONFIG_FILE).write_text(json.dumps(config, indent=2), encoding="utf-8")
        model.save_weights(unfinished / WEIGHTS_FILE)
        # The weights first: a configuration never stands beside weights that are older than it.
        for name in (WEIGHTS_FILE, CONFIG_FILE):
            os.replace(unfinished / name, folder / name)


def read_saved_config(folder):
    """Return the serialized model of a folder that `save_preset` wrote, or `None` for others.

    Args:
        folder: str or path.

    Raises:
        ValueError: the configuration can't be read.
    """
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(path)!r} isn't JSON: {error}. Save the preset again.") from error
    is_ours = isinstance(config, dict) and config.get("format") == _FORMAT
    return config["model"] if is_ours else None


def load_saved_weights(model, folder):
    """Load the weights of a folder that `save_preset` wrote.

    Args:
        model: the model of `read_saved_config`.
        folder: str or path.

    Raises:
        FileNotFoundError: the weights are missing.
        ValueError: they are damaged.
    """
    path = Path(folder) / WEIGHTS_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{str(path)!r} is missing beside its {CONFIG_FILE}. Copy the whole folder, or pass "
            "`load_weights=False`."
        )
    try:
        model.load_weights(path)
    except OSError as error:
        raise ValueError(
            f"{str(path)!r} ({path.stat().st_size} bytes) can't be read: {error}. Copy or save "
            "the preset again."
        ) from error
