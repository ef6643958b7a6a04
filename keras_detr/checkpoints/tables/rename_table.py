"""The form of a rename table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RenameTable:
    """Say which names a source may use for which canonical name.

    A name first loses its leading wrappers; then the first skip row that matches all of it, else
    the first rename row that matches all of it, decides.

    Attributes:
        wrappers: str, a regular expression for what may stand before every name ("module.").
        renames: tuple of (regular expression, replacement), the replacement as in `re.sub`.
        skips: tuple of (regular expression, reason) for tensors that no variable wants.
    """

    wrappers: str
    renames: tuple[tuple[str, str], ...]
    skips: tuple[tuple[str, str], ...]
