"""Give a model as many prediction heads as it has, from the copies of a checkpoint, and back."""

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

    Example:
        ```python
        from keras_detr.checkpoints import resolve_shared_heads

        copies = {f"class_embed.{k}.weight": np.ones((3, 8)) for k in range(6)}
        print(list(resolve_shared_heads(copies, num_heads=1)))  # ['class_embed.0.weight']
        ```

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


def repeat_shared_heads(
    tensors: dict[str, np.ndarray], num_heads: int, in_decoder: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Return transformers' tensors with every copy of each head that its model names.

    Which copies of shared weights it finds by itself differs between its versions; where all are
    in the file, nothing has to be found.

    Args:
        tensors: dict of name in transformers' files to array; not changed.
        num_heads: int, heads that its model has: one for each decoder layer, and one more with two
            stages.
        in_decoder: tuple of the heads' names, "bbox_embed" or "class_embed", to which its decoder
            refers a second time.

    Example:
        ```python
        from keras_detr.checkpoints import repeat_shared_heads

        head = {"class_embed.0.weight": np.ones((3, 8))}
        print(len(repeat_shared_heads(head, num_heads=6, in_decoder=())))  # 6
        ```
    """
    repeated: dict[str, np.ndarray] = {}
    is_shared = not any(name.startswith("class_embed.1.") for name in tensors)
    for name, value in tensors.items():
        match = _HEAD.fullmatch(name)
        if not match:
            repeated[name] = value
            continue
        head, index, part = match.groups()
        for copy in range(num_heads) if is_shared else (index,):
            repeated[f"{head}.{copy}.{part}"] = value
            if head in in_decoder:
                repeated[f"model.decoder.{head}.{copy}.{part}"] = value
    return repeated


def _merge_equal(copies):
    """Return the first copy as number 0, and copies that differ from it under their own number."""
    first = min(copies)
    return {0: copies[first]} | {
        k: value for k, value in copies.items() if k != first and not is_equal(value, copies[first])
    }
