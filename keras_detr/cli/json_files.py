"""JSON files that every program can read."""

import json
import math


def write_json(path, content, indent=2):
    """Write a JSON file. What isn't a number becomes `null`: JSON has no NaN.

    Args:
        path: `pathlib.Path`.
        content: what `json.dumps` takes.
        indent: int, or `None` for a single line.
    """
    text = json.dumps(_without_nan(content), indent=indent, allow_nan=False)
    path.write_text(text, encoding="utf-8")


def _without_nan(content):
    if isinstance(content, dict):
        return {name: _without_nan(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content
