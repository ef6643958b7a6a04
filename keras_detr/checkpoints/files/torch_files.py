"""Read the tensors of a file written by torch."""

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping

from .regular_files import unreadable

# The most that a file may grow when unpacked. torch doesn't compress, and weights hardly shrink.
_LARGEST_GROWTH = 10


def read_torch(path):
    """Read a .pth, .pt or .bin file; see `read_tensors`."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"Reading {path.name!r} needs torch, which isn't installed. Run "
            '`pip install "keras_detr[torch]"`, or pass a .safetensors file, which needs no torch.'
        ) from error
    try:
        _check_archive(path)
        # The official training script stores its arguments in the file. A plain Namespace is
        # harmless; everything else that isn't a tensor stays forbidden.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            # Of pickles that aren't torch's own, and of rare kinds of tensors: both are refused.
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
        tensors = _tensors_of(torch, _unwrapped(content), _LARGEST_GROWTH * path.stat().st_size)
    except Exception as error:  # torch raises almost any type for damaged bytes.
        # What torch says of a pickle is how to run its code.
        is_pickle_refused = isinstance(error, pickle.UnpicklingError)
        code = re.search(r"GLOBAL ([\w.]+)", str(error)) if is_pickle_refused else None
        if code:
            raise ValueError(
                f"{str(path)!r} holds code ({code[1]}), and is refused: only tensors are read. Ask "
                "for the model's `state_dict()` alone, or for a .safetensors file."
            ) from None
        if is_pickle_refused:
            raise unreadable(path, "its pickle isn't one that torch.save writes") from None
        reason = str(error).strip().split("\n")[0].rstrip(".") or "the file ends too early"
        raise unreadable(path, f"{type(error).__name__}: {reason}") from error
    if not tensors:
        raise unreadable(path, "it holds no dictionary of tensors")
    return {name: _to_array(torch, path, name, tensor) for name, tensor in tensors.items()}


def _check_archive(path):
    """Raise an error if a zip file is damaged, or unpacks to far more than its size.

    torch doesn't compare checksums.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(part.file_size for part in archive.infolist())
        _check_size(size, _LARGEST_GROWTH * path.stat().st_size)
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"its part {damaged!r} is damaged")


def _unwrapped(content):
    """Return the tensors without the dictionary that official files wrap them in."""
    for key in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            return content[key]
    return content


def _tensors_of(torch, content, most_bytes):
    """Return the tensors of a dictionary, without its other values."""
    if not isinstance(content, Mapping):
        return {}
    tensors = {str(k): v.detach() for k, v in content.items() if isinstance(v, torch.Tensor)}
    # A few bytes can describe a tensor that repeats one number very often.
    _check_size(sum(v.numel() * v.element_size() for v in tensors.values()), most_bytes)
    return tensors


def _to_array(torch, path, name, tensor):
    """Return a tensor as an array, or raise an error that names it if NumPy has no such arrays."""
    is_narrow = tensor.dtype in (torch.bfloat16, torch.float16)
    try:
        return (tensor.float() if is_narrow else tensor).numpy()
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"The tensor {name!r} of {str(path)!r} is no plain array of numbers (dtype "
            f"{tensor.dtype}, layout {tensor.layout}): {str(error).rstrip('.')}. Save it dense and "
            "as float32, without quantization."
        ) from error


def _check_size(size, most_bytes):
    """Raise an error if content unpacks to far more than the file's size."""
    if size > most_bytes:
        raise ValueError(f"it unpacks to {size:,} bytes, far more than it has")
