"""Which optional packages can be imported, found without importing them."""

import importlib.util


def is_installed(package):
    """Return whether a package can be imported.

    Args:
        package: str, its name in an import statement.
    """
    return importlib.util.find_spec(package) is not None
