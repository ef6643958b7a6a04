"""The form of a rename table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RenameTable:
    """Map the tensor names of files to canonical names, and these to those of transformers' files.

    The leading wrappers of a name are removed first. Then the first skip row that matches the whole
    name applies, or else the first rename row that does.

    Attributes:
        wrappers: str, a regular expression for what may precede every name ("module.").
        renames: tuple of (regular expression, canonical name) or (regular expression, canonical
            name, name in transformers' files), the names as replacements in `re.sub`. The third is
            what `to_hub_names` writes; a row without it is for reading only. Groups aren't nested.
        skips: tuple of (regular expression, reason) for tensors that aren't used.

    Example:
        ```python
        from keras_detr.checkpoints import RenameTable, to_canonical_names

        table = RenameTable(
            wrappers="module[.]",
            renames=(("fc1[.]weight", "dense1.kernel"),),
            skips=((".*num_batches_tracked", "a counter"),),
        )
        tensors = {"module.fc1.weight": np.ones((2, 2)), "bn.num_batches_tracked": np.ones(())}
        print(list(to_canonical_names(tensors, table).tensors))  # ['dense1.kernel']
        ```
    """

    wrappers: str
    renames: tuple[tuple[str, ...], ...]
    skips: tuple[tuple[str, str], ...]
