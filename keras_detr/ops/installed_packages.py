"""Which optional packages can be imported, found without importing them."""

import importlib.util


def is_installed(package):
    """Return whether a package, named as in an import statement, can be imported."""
    return importlib.util.find_spec(package) is not None
