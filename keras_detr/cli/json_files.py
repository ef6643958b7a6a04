"""The JSON files of the commands: every program can read them."""

import json
import math
import pathlib


def read_json(path):
    """Return the dict in a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it isn't JSON, or holds something else.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {str(path)!r}.") from None
    except ValueError as error:
        raise ValueError(f"{str(path)!r} isn't JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{str(path)!r} must hold a dict of arguments.")
    return content


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
