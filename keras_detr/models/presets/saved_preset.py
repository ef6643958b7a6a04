"""Folders that `save_to_preset` writes, here or on the Hub: a model's configuration and weights."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import keras

from keras_detr.checkpoints.files.atomic_files import folder_beside, locked, move_file
from keras_detr.checkpoints.files.regular_files import read_regular
from keras_detr.checkpoints.hub.folder import local_file
from keras_detr.checkpoints.hub.handles import handle_parts, hub_hint
from keras_detr.models.saved_files import write_weights

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.weights.h5"
WEIGHTS_HASH = "weights_sha256"
FORMAT = "keras_detr"
_LARGEST_CONFIG = 2**26


def save_preset(model: Any, folder: str | os.PathLike[str]) -> None:
    """Write the model's configuration and weights to a folder, for `from_preset`: both or none.

    Args:
        model: `keras.Model` with a `get_config`.
        folder: str or path; created where it doesn't exist. Other files in it are left alone.

    Raises:
        ValueError: `folder` names a file, or holds another tool's model.
        OSError: a file can't be written, for example because the disk is full.
    """
    # The configuration holds the hash of its weights, and the model is saved at the moment when it
    # replaces an earlier configuration. Until then the new weights have a temporary name; if the
    # process is killed before they are renamed, they are read under that name.
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`folder` must name a folder. Received the file {str(folder)!r}.")
    _check_is_ours(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        _settle(folder)
        try:
            with folder_beside(folder / CONFIG_FILE) as unfinished:
                write_weights(model, unfinished / WEIGHTS_FILE)
                digest = _hash_of(unfinished / WEIGHTS_FILE)
                serialized = keras.saving.serialize_keras_object(model)
                config = {"format": FORMAT, WEIGHTS_HASH: digest, "model": serialized}
                (unfinished / CONFIG_FILE).write_bytes(json.dumps(config, indent=2).encode())
                move_file(unfinished / WEIGHTS_FILE, _temporary_weights(folder, digest))
                move_file(unfinished / CONFIG_FILE, folder / CONFIG_FILE)
        finally:
            _settle(folder)


def read_saved_config(folder):
    """Return the serialized model of a folder that `save_preset` wrote, or `None` for others.

    `folder` may also be the handle of a repository of the Hub, of which config.json is fetched.
    """
    config = _read_config(folder)
    return None if config is None else config["model"]


def load_saved_weights(model, folder):
    """Load the weights beside a configuration that `read_saved_config` read into its model."""
    # Earlier versions wrote no hash.
    digest = _read_config(folder).get(WEIGHTS_HASH)
    path = _weights_of(folder, digest)
    if digest is not None and _hash_of(path) != digest:
        raise ValueError(
            f"{str(path)!r} ({path.stat().st_size} bytes) isn't the file that {CONFIG_FILE} was "
            "saved with: the folder holds halves of two saves, or a damaged copy. Save or copy "
            f"the preset again. If the weights were replaced on purpose, remove {WEIGHTS_HASH!r} "
            f"from {CONFIG_FILE}."
        )
    try:
        model.load_weights(path)
    except OSError as error:
        raise ValueError(
            f"{str(path)!r} ({path.stat().st_size} bytes) can't be read: {error}. Copy or save "
            "the preset again."
        ) from error


def _weights_of(folder, digest):
    """Return the path of the weights, which are fetched if they are on the Hub."""
    if handle_parts(folder) is None and digest is not None:
        temporary = _temporary_weights(folder, digest)
        if temporary.is_file():
            return temporary
    path = local_file(folder, WEIGHTS_FILE)
    if not path.is_file():
        raise FileNotFoundError(
            f"{str(path)!r} is missing beside its {CONFIG_FILE}. Copy the whole folder, or pass "
            "`load_weights=False`."
        )
    return path


def rebuild(cls, preset, saved, arguments):
    """Build the model that `read_saved_config` read, with other arguments in place of its own."""
    if saved_class_name(saved) != cls.__name__:
        raise ValueError(
            f"The folder {str(preset)!r} holds a {saved.get('registered_name')!r}, not a "
            f"{cls.__name__}. Use `from_preset` of the class that was saved."
        )
    changed = saved
    if arguments:
        config = cls.override_config(saved["config"], arguments)
        changed = {**saved, "config": config, "build_config": None}
    try:
        return keras.saving.deserialize_keras_object(changed, custom_objects={cls.__name__: cls})
    except Exception as error:  # Of a file edited by hand anything may be wrong.
        # Keras shows the whole configuration before it.
        reason = str(error).rsplit("Exception encountered: ", 1)[-1]
        if arguments:
            # What is wrong with the file is said here; otherwise it is the arguments.
            rebuild(cls, preset, saved, {})
            if type(error) not in (TypeError, ValueError):
                raise
            raise type(error)(reason) from error
        path = os.path.join(preset, CONFIG_FILE)
        raise ValueError(f"No model can be built from {path!r}: {reason}") from error


def saved_class_name(saved):
    """Return the name of the class whose saved configuration this is."""
    return saved.get("registered_name", "").rsplit(">", 1)[-1]


def class_that_was_saved(cls, saved):
    """Return the class whose saved configuration this is, if it is `cls` or a base of it."""
    name = saved_class_name(saved)
    return next((base for base in cls.__mro__ if base.__name__ == name), cls)


def saved_as(cls, saved, saved_class):
    """Return the configuration of a base of `cls` as one of `cls`, which takes its arguments."""
    if saved_class is cls:
        return saved
    names = {"class_name": cls.__name__, "registered_name": f"{FORMAT}>{cls.__name__}"}
    return {**saved, **names, "build_config": None}


def described(preset):
    """Return a preset's name for a message about an unknown one."""
    if Path(preset).is_dir():
        return repr(str(preset))
    if Path(preset).is_file():
        return (
            f"the file {str(preset)!r}. If it holds weights, pass it as `weights=` "
            "beside the name of the preset that they belong to"
        )
    return f"{str(preset)!r}, and there is no folder there{hub_hint(preset)}"


def _read_config(folder):
    """Return what `save_preset` wrote as configuration, or `None`."""
    path = local_file(folder, CONFIG_FILE)
    if not path.is_file():
        return None
    try:
        config = json.loads(read_regular(path, _LARGEST_CONFIG).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{str(path)!r} isn't JSON: {error}. Copy the preset again, or remove the file and "
            "save the preset again."
        ) from error
    is_ours = isinstance(config, dict) and config.get("format") == FORMAT
    return config if is_ours else None


def _check_is_ours(folder):
    """Check that no file is replaced that isn't of an earlier preset."""
    if _read_config(folder) is not None:
        return
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if (folder / name).exists():
            raise ValueError(
                f"`folder` must name a new folder, or one with an earlier preset of keras_detr, "
                f"which is replaced. {str(folder / name)!r} isn't of such a preset: save to "
                "another folder, or move that file away."
            )


def _temporary_weights(folder, digest):
    """Return the temporary name of weights, until their configuration replaces an earlier one."""
    return Path(folder) / f"model-{digest[:16]}.weights.h5"


def _settle(folder):
    """Rename the weights that the configuration belongs to, and remove other temporary ones."""
    config = _read_config(folder) or {}
    named = _temporary_weights(folder, config.get(WEIGHTS_HASH, ""))
    for temporary in folder.glob(f"model-{'[0-9a-f]' * 16}.weights.h5"):
        if temporary == named:
            os.replace(temporary, folder / WEIGHTS_FILE)
        else:
            temporary.unlink()


def _hash_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
