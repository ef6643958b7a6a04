"""Settle how many copies of a prediction head a checkpoint holds."""

import re

import numpy as np

from .renaming import is_equal

_HEAD = re.compile(r"(class_embed|bbox_embed)\.(\d+)\.(.+)")


def resolve_shared_heads(tensors: dict[str, np.ndarray], num_heads: int) -> dict[str, np.ndarray]:
    """Give as many prediction heads as the model has, whichever copies a file kept.

    A Deformable DETR has one head for each decoder layer, and with two stages one more for the
    encoder. Without box refinement all of them are one and the same. What is shared may stand in a
    file once, under any of its numbers, or once for each.

    Args:
        tensors: dict of canonical name to array, as `to_canonical_names` gives it; not changed.
        num_heads: int, heads of the model with values of their own: 1 without box refinement, else
            the number of decoder layers, plus 1 with two stages.

    Returns:
        dict of canonical name to array, all other tensors as they were, and of the heads:
            With 1 head, `class_embed.0.*` and `bbox_embed.0.*`, into which equal copies are folded.
            A copy of other values keeps its name: it tells that the file was refined.
            With more, `class_embed.k.*` and `bbox_embed.k.*` for all k from 0 to num_heads - 1
            where the file holds all of them, or just one, which all heads then start from. Any
            other number stays as it is.

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
            copies = _fold(copies)
        elif len(copies) == 1:
            copies = dict.fromkeys(range(num_heads), *copies.values())
        resolved.update({f"{head}.{k}.{part}": value for k, value in copies.items()})
    return resolved


def _fold(copies):
    """Keep the first copy as number 0, and what differs from it under its own number."""
    first = min(copies)
    return {0: copies[first]} | {
        k: value for k, value in copies.items() if k != first and not is_equal(value, copies[first])
    }
