"""Write a folder in the Hub's layout, as transformers does."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from ..files.atomic_files import check_space, folder_beside, move_folder
from .detector_config import preprocessor_config

_CONFIG = "config.json"
_PREPROCESSOR_CONFIG = "preprocessor_config.json"
_WEIGHTS = "model.safetensors"


def write_hub_folder(
    folder: str | os.PathLike[str],
    config: dict[str, Any],
    tensors: dict[str, Any],
    sizes: Sequence[int],
    mean: Sequence[float],
    standard_deviation: Sequence[float],
) -> None:
    """Write config.json, preprocessor_config.json and model.safetensors: all of them or none.

    Args:
        folder: str or path of a new or empty folder, or of one with these three files only.
        config: dict, the content of config.json.
        tensors: dict of name in transformers' files to array.
        sizes: see `preprocessor_config`; so are `mean` and `standard_deviation`.

    Raises:
        ValueError: `folder` is a file, or holds something else.
        OSError: a file can't be written, for example because the disk is full.

    Example:
        ```python
        from keras_detr.checkpoints import read_tensors, write_hub_folder

        tensors = {"model.query_position_embeddings.weight": np.zeros((5, 8), "float32")}
        colors = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        write_hub_folder("hub_folder", {"model_type": "detr"}, tensors, (800, 1333), *colors)
        print(list(read_tensors("hub_folder")))  # ['model.query_position_embeddings.weight']
        ```
    """
    folder = Path(folder)
    _check_is_free(folder)
    folder = folder.parent.resolve() / folder.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    preprocessor = preprocessor_config(config["model_type"], sizes, mean, standard_deviation)
    with folder_beside(folder) as unfinished:
        check_space(unfinished, sum(tensor.nbytes for tensor in tensors.values()))
        written = unfinished / folder.name
        written.mkdir()
        for name, content in ((_CONFIG, config), (_PREPROCESSOR_CONFIG, preprocessor)):
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            (written / name).write_text(text, encoding="utf-8")
        tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
        # Version 4 of transformers asks for this remark.
        (written / _WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))
        move_folder(written, folder)


def _check_is_free(folder):
    """Check that nothing is replaced that isn't of an earlier export."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`folder` must name a folder. Received the file {str(folder)!r}.")
    found = {path.name for path in folder.iterdir()} if folder.exists() else set()
    others = sorted(found - {_CONFIG, _PREPROCESSOR_CONFIG, _WEIGHTS})
    if others:
        raise ValueError(
            "`folder` must name a new or empty folder, or one with an earlier export, which is "
            f"replaced. {str(folder)!r} holds {others[0]!r} too: export to another folder, or "
            "move that file away."
        )
