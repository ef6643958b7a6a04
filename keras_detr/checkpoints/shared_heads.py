"""Give a model as many prediction heads as it has, from the copies that a checkpoint holds."""

import re

import numpy as np

from .renaming import is_equal

_HEAD = re.compile(r"(class_embed|bbox_embed)\.(\d+)\.(.+)")


def resolve_shared_heads(tensors: dict[str, np.ndarray], num_heads: int) -> dict[str, np.ndarray]:
    """Return as many prediction heads as the model has, whatever copies a file holds.

    A Deformable DETR has one head for each decoder layer, and with two stages one more for the
    encoder. Without box refinement they all share their weights. A file may hold shared weights
    once, under any of the numbers, or once for each number.

    Args:
        tensors: dict of canonical name to array, as `to_canonical_names` gives it; not changed.
        num_heads: int, heads of the model that don't share weights: 1 without box refinement, else
            the number of decoder layers, plus 1 with two stages.

    Returns:
        dict of canonical name to array. Other tensors are unchanged. The heads are:
            With 1 head, `class_embed.0.*` and `bbox_embed.0.*`, which replace all equal copies. A
            copy with other values keeps its name: it shows that the file has box refinement.
            With more, `class_embed.k.*` and `bbox_embed.k.*` for all k from 0 to num_heads - 1 if
            the file holds all of them, or only one, which all heads then start from. Any other
            number of copies is returned unchanged.

    Source: fundamentalvision/Deformable-DETR models/deformable_detr.py; what transformers ties,
    models/deformable_detr/modeling_deformable_detr.py.
    """
    resolved: dict[str, np.ndarray] = {}
    heads: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    for name, value in tensors.items():
        match = _HEAD.fullmatch(name)
        if match:
            heads.setdefault((match[1], match[3]), {})[int(match[2])] = value
        else:
            resolved[name] = value
    for (head, part), copies in heads.items():
        if num_heads == 1:
            copies = _merge_equal(copies)
        elif len(copies) == 1:
            copies = dict.fromkeys(range(num_heads), *copies.values())
        resolved.update({f"{head}.{k}.{part}": value for k, value in copies.items()})
    return resolved


def _merge_equal(copies):
    """Return the first copy as number 0, and copies that differ from it under their own number."""
    first = min(copies)
    return {0: copies[first]} | {
        k: value for k, value in copies.items() if k != first and not is_equal(value, copies[first])
    }
