"""Import the examples, which aren't a package, and run them as a user does."""

import importlib.util
import pathlib
import sys

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def load_example(name):
    """Return an example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_example(name, monkeypatch, *arguments):
    """Run an example in this process with arguments as on the command line."""
    example = load_example(name)
    # Keras looks for the classes of a module by its name.
    monkeypatch.setitem(sys.modules, name, example)
    monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
    example.main()
