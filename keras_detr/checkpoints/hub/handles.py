"""The names of repositories on the Hub: "hf://owner/name" and "hf://owner/name@revision"."""

import re

_HANDLE = re.compile(r"hf://(?P<repo_id>[\w.-]+/[\w.-]+)(@(?P<revision>[^\s@]+))?")
_WITHOUT_PREFIX = re.compile(r"(?:https?://huggingface\.co/)?(\w[\w.-]*/\w[\w.-]*)(@[^\s@]+)?/?")


def handle_parts(handle) -> tuple[str, str | None] | None:
    """Return the repository and the revision or `None` of a handle, or `None` for other texts."""
    match = _HANDLE.fullmatch(str(handle))
    return match and (match["repo_id"], match["revision"])


def hub_hint(text) -> str:
    """Return the end of a message about a text that was perhaps meant for a handle, or nothing."""
    match = _WITHOUT_PREFIX.fullmatch(str(text))
    if match is None:
        return ""
    return f". If it is a repository of the Hub, write 'hf://{match[1]}{match[2] or ''}'"
