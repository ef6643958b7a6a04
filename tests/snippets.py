"""The Python snippets of the documentation: found, and run as a reader would, page by page."""

import importlib
import inspect
import pathlib
import re
import textwrap
from typing import NamedTuple

import keras_detr

# `keras_detr.ops` itself has no names.
MODULES_OF_OPERATIONS = ("ops.boxes", "ops.deformable_attention", "ops.linear_assignment")
REPOSITORY = pathlib.Path(__file__).parents[1]
_FENCE = re.compile(r"(?:^<!-- (?P<note>.*?) -->\n)?^```python\n(?P<source>.*?)^```$", re.M | re.S)
_EXAMPLE = re.compile(r"^Examples?:\n+((?:```|    |<!--).*?)(?=^\w[\w ]*:|\Z)", re.M | re.S)


class Snippet(NamedTuple):
    """Hold a snippet, and what a comment before it says of its run.

    Attributes:
        source: str, the code.
        line: int, where it begins in its file; the first is 1.
        note: str, the comment right before: "not run: why", "run with: this -> that" (with that in
            place of this), or nothing.
    """

    source: str
    line: int
    note: str = ""


def snippets_of_page(text):
    """Return the snippets of a Markdown page.

    Raises:
        ValueError: a comment before a snippet can't be understood.
    """
    found = []
    for match in _FENCE.finditer(text):
        snippet = Snippet(
            match["source"], text.count("\n", 0, match.start("source")) + 1, match["note"] or ""
        )
        note = snippet.note
        if note and not note.startswith(("not run: ", "run with: ")):
            raise ValueError(f"line {snippet.line}: unknown comment before a snippet: {note!r}")
        found.append(snippet)
    return found


def documented_examples():
    """Return a dict from names to the code in the section "Example:" of their docstrings.

    Names are those of the public classes and functions of all modules, and of public methods. Code
    that a comment says isn't run is left out, and a method that several classes inherit is found
    once.
    """
    examples, seen = {}, set()
    for owner, value in public_objects().items():
        parts = {owner: value}
        if inspect.isclass(value):
            methods = {key: part for key, part in _own_members(value) if key[0] != "_"}
            parts |= {f"{owner}.{key}": part for key, part in methods.items()}
        for path, part in parts.items():
            section = example_of(part) if callable(part) else None
            if section and part not in seen:
                seen.add(part)
                fences = snippets_of_page(textwrap.dedent(section))
                sources = [f.source for f in fences if not f.note.startswith("not run: ")]
                if sources:
                    examples[path] = "\n".join(sources)
    return examples


def public_objects():
    """Return a dict from their full names to the public classes and functions of all modules."""
    found = {}
    for module_name in (*keras_detr._MODULES, *MODULES_OF_OPERATIONS):
        module = importlib.import_module(f"keras_detr.{module_name}")
        for name in getattr(module, "__all__", ()):
            if callable(getattr(module, name)):
                found[f"{module.__name__}.{name}"] = getattr(module, name)
    return found


def example_of(value):
    """Return the section "Example:" of a docstring, with its indentation, or `None`."""
    section = _EXAMPLE.search(inspect.getdoc(value) or "")
    return section and section[1]


def _own_members(cls):
    """Yield the names and values in a class and in its bases of keras_detr."""
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("keras_detr."):
            yield from vars(base).items()


def run_page(text, namespace, path):
    """Run the snippets of a page one after the other in one namespace.

    Args:
        text: str, Markdown.
        namespace: dict, the names that a reader has; changed.
        path: str, the page's, for tracebacks.

    Returns:
        int, how many were run.
    """
    num_run = 0
    for snippet in snippets_of_page(text):
        kind, _, argument = snippet.note.partition(": ")
        if kind == "not run":
            continue
        source = snippet.source
        if kind == "run with":
            this, that = argument.split(" -> ")
            if this not in source:
                raise ValueError(f"{path}, line {snippet.line}: there is no {this!r} to replace")
            source = source.replace(this, that)
        run(source, namespace, path, snippet.line)
        num_run += 1
    return num_run


def run(source, namespace, path, line=1):
    """Run code such that a traceback shows the line of the page."""
    code = compile("\n" * (line - 1) + source, path, "exec")
    exec(code, namespace)
