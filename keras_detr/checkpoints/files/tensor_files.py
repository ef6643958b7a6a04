"""Read the tensors of a checkpoint file of any format into NumPy arrays."""

import os
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, deserialize, safe_open

from .regular_files import check_regular, read_json_object, unreadable
from .torch_files import read_torch

# In order of preference: safetensors can't hold code, and don't need torch.
WEIGHT_FILE_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)

_TORCH_SUFFIXES = (".pth", ".pt", ".bin")
_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


def read_tensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read every tensor of a checkpoint.

    Args:
        path: str or path of a .safetensors file, a .pth, .pt or .bin file (needs torch, and is read
            with `weights_only=True`), a `*.index.json` beside its shards, or a folder that holds
            one of `WEIGHT_FILE_NAMES`.

    Returns:
        dict of name to array. 16-bit floats become float32; other dtypes stay as they are stored.
        The official wrapping `{"model": {...}}`, and `{"state_dict": {...}}`, are removed.

    Raises:
        FileNotFoundError: there is no such file, or a shard of it is missing.
        ValueError: the file is truncated, damaged, not a checkpoint, or not a regular file.
        ImportError: the file needs torch, and torch isn't installed.

    Example:
        ```python
        from safetensors.numpy import save_file
        from keras_detr.checkpoints import read_tensors

        save_file({"weight": np.ones((2, 3), "float32")}, "weights.safetensors")
        print(read_tensors("weights.safetensors")["weight"].shape)  # (2, 3)
        ```
    """
    path = Path(path)
    if path.is_dir():
        path = _find_weights(path)
    if not path.exists():
        raise FileNotFoundError(
            f"There is no checkpoint file {str(path)!r}. Check the path, or download "
            "the file first."
        )
    check_regular(path)
    if path.name.endswith(".index.json"):
        return _read_shards(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in _TORCH_SUFFIXES:
        return read_torch(path)
    # Files that Keras itself reads.
    advice = {
        ".keras": " Load a saved model with `keras.saving.load_model`.",
        ".h5": " Load saved weights of Keras with the model's `load_weights`.",
    }
    raise ValueError(
        f"`path` must end in .safetensors, .pth, .pt, .bin or .index.json, or be a folder. "
        f"Received: {str(path)!r}.{advice.get(path.suffix, '')}"
    )


def shard_names(index_path) -> tuple[str, ...]:
    """Return the sorted names of the files that a `*.index.json` lists."""
    return tuple(sorted(set(_read_index(Path(index_path)).values())))


def _find_weights(folder) -> Path:
    """Return the first of `WEIGHT_FILE_NAMES` that a folder holds."""
    for name in WEIGHT_FILE_NAMES:
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(
        f"The folder {str(folder)!r} holds no weights. Expected one of "
        f"{', '.join(WEIGHT_FILE_NAMES)}."
    )


def _read_safetensors(path):
    try:
        # Check the header before all of the file is read.
        with safe_open(path, framework="numpy"):
            pass
        views = deserialize(path.read_bytes())
    except (SafetensorError, MemoryError) as error:
        raise unreadable(path, error) from error
    return {name: _to_array(path, name, view) for name, view in views}


def _to_array(path, name, view):
    """Turn one entry into an array; safetensors' own reader for NumPy knows no bfloat16."""
    if view["dtype"] not in _DTYPES:
        raise ValueError(
            f"The tensor {name!r} of {str(path)!r} has the dtype {view['dtype']}, which NumPy "
            f"lacks. Save it as float32, or as one of {', '.join(_DTYPES)}."
        )
    try:
        array = np.frombuffer(view["data"], dtype=_DTYPES[view["dtype"]]).reshape(view["shape"])
    except ValueError as error:
        raise ValueError(
            f"The tensor {name!r} of {str(path)!r} has a shape of {len(view['shape'])} axes, "
            f"{view['shape']!s:.60}, which NumPy lacks."
        ) from error
    return array.astype(np.float32) if view["dtype"] in ("F16", "BF16") else array


def _read_index(path):
    """Read the `weight_map` of an index file: dict of tensor name to file name."""
    weight_map = read_json_object(path).get("weight_map")
    names = weight_map.values() if isinstance(weight_map, dict) else ()
    if not names or not all(map(_is_shard_name, names)):
        raise unreadable(path, "it is no index of shards beside it")
    return weight_map


def _is_shard_name(name):
    # A name with a folder in it could point anywhere on this machine.
    is_file_name = isinstance(name, str) and Path(name).name == name
    return is_file_name and Path(name).suffix in (".safetensors", *_TORCH_SUFFIXES)


def _read_shards(path):
    """Read all files that an index lists, and check that no tensor is missing."""
    weight_map = _read_index(path)
    tensors = {}
    for name in shard_names(path):
        shard = path.parent / name
        if not shard.exists():
            raise FileNotFoundError(
                f"The shard {str(shard)!r}, named by {path.name!r}, is missing. Download it too."
            )
        tensors.update(read_tensors(shard))
    missing = sorted(weight_map.keys() - tensors.keys())
    if missing:
        raise unreadable(
            path, f"its shards lack {len(missing)} tensors, the first is {missing[0]!r}"
        )
    return tensors
