"""Give the tensors of a checkpoint the names that the rest of the package uses."""

import re
from dataclasses import dataclass

import numpy as np

from .tables.rename_table import RenameTable

_GROUP = re.compile(r"\((?!\?)([^()]*)\)")
_FUSED = re.compile(r"(.*\.)in_proj_(weight|bias)")


@dataclass(frozen=True)
class RenamedTensors:
    """Hold tensors under canonical names, and what was left out.

    Attributes:
        tensors: dict of canonical name to array, in the source's layout (convolutions
            (out, in, height, width), dense kernels (out, in)). A tensor that isn't in the table
            keeps its name.
        skipped: dict of source name to the reason why it isn't used.

    Example:
        ```python
        from keras_detr.checkpoints import DETR_TABLE, to_canonical_names

        found = to_canonical_names({"query_embed.weight": np.zeros((100, 256))}, DETR_TABLE)
        print(list(found.tensors), found.skipped)
        ```
    """

    tensors: dict[str, np.ndarray]
    skipped: dict[str, str]


def to_canonical_names(tensors: dict[str, np.ndarray], table: RenameTable) -> RenamedTensors:
    """Rename tensors by a table, and split fused attention projections.

    Args:
        tensors: dict of source name to array.
        table: `RenameTable` of the architecture.

    Returns:
        `RenamedTensors`. Every tensor is either skipped or renamed; none is lost. Canonical names
        map to themselves.

    Raises:
        ValueError: two tensors with different values get the same canonical name, or a fused
            projection can't be split into three.

    Example:
        ```python
        from keras_detr.checkpoints import DETR_TABLE, to_canonical_names

        # The official file and that of transformers give the same name.
        array = np.zeros((100, 256))
        names = "query_embed.weight", "model.query_position_embeddings.weight"
        print([list(to_canonical_names({name: array}, DETR_TABLE).tensors) for name in names])
        ```
    """
    wrappers = re.compile(table.wrappers)
    renames = [(re.compile(pattern), target) for pattern, target, *_ in table.renames]
    skips = [(re.compile(pattern), reason) for pattern, reason in table.skips]
    renamed: dict[str, np.ndarray] = {}
    sources: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for source, value in tensors.items():
        wrapper = wrappers.match(source)
        name = source[wrapper.end() :] if wrapper else source
        reason = next((reason for pattern, reason in skips if pattern.fullmatch(name)), None)
        if reason is not None:
            skipped[source] = reason
            continue
        target = _canonical_name(name, renames)
        parts = {source: value} if target is None else _split_fused(source, target, value)
        for canonical, part in parts.items():
            if canonical not in renamed:
                renamed[canonical] = part
                sources[canonical] = source
            elif not is_equal(renamed[canonical], part):
                raise ValueError(
                    f"The tensors {sources[canonical]!r} and {source!r} both mean {canonical!r}, "
                    "but their values differ. The file seems to hold two models: keep the tensors "
                    "of one of them."
                )
    return RenamedTensors(renamed, skipped)


def to_hub_names(tensors: dict[str, np.ndarray], table: RenameTable) -> dict[str, np.ndarray]:
    """Rename canonical tensors to the names that transformers' files have: the way back.

    Args:
        tensors: dict of canonical name to array.
        table: `RenameTable` of the architecture.

    Returns:
        dict of the name in a model.safetensors of transformers to the same array.

    Raises:
        ValueError: transformers has no such tensor.

    Example:
        ```python
        from keras_detr.checkpoints import DETR_TABLE, to_hub_names

        tensors = {"query_embed.weight": np.zeros((100, 256))}
        print(list(to_hub_names(tensors, DETR_TABLE)))  # ['model.query_position_embeddings.weight']
        ```
    """
    rows = [(_canonical_pattern(*row[:2]), row[2]) for row in table.renames if len(row) == 3]
    renamed = {}
    for name, value in tensors.items():
        hub_name = _canonical_name(name, rows)
        if hub_name is None:
            raise ValueError(
                f"transformers has no tensor for {name!r}, so its files can't hold this model."
            )
        renamed[hub_name] = value
    return renamed


def _canonical_pattern(pattern, target):
    """Return the regular expression of a row's canonical names, with the groups of its pattern.

    Where the target names a group, it holds what the group matches.
    """
    groups = {str(i): group for i, group in enumerate(_GROUP.findall(pattern), start=1)}
    parts = re.split(r"\\(\d)", target)
    named = [
        f"(?P<_{part}>{groups[part]})" if index % 2 else re.escape(part)
        for index, part in enumerate(parts)
    ]
    return re.compile("".join(named))


def _canonical_name(name, renames):
    """Return the target of the first row that matches, or None if none does."""
    for pattern, target in renames:
        match = pattern.fullmatch(name)
        if match:
            return match.expand(target)
    return None


def _split_fused(source, target, value):
    """Return a tensor by its canonical name, or the three parts of a fused projection by theirs.

    A fused projection is (3 * hidden, ...) with query, key, value in this order.

    Source: torch.nn.MultiheadAttention, `in_proj_weight`.
    """
    fused = _FUSED.fullmatch(target)
    if not fused:
        return {target: value}
    if value.ndim == 0 or value.shape[0] % 3:
        raise ValueError(
            f"The tensor {source!r} should stack the query, key and value projections, so its "
            f"first axis should be a multiple of 3. Received: shape {value.shape}."
        )
    prefix, kind = fused.groups()
    parts = np.split(value, 3, axis=0)
    return {f"{prefix}{axis}_proj.{kind}": part for axis, part in zip("qkv", parts, strict=True)}


def is_equal(first, second):
    """Return whether two arrays have the same shape and values; NaN equals NaN."""
    return first.shape == second.shape and np.array_equal(first, second, equal_nan=True)
