"""Packages whose public names load on first use, so that importing them is light."""

import importlib


def attach(package, homes, rooms=()):
    """Return what a package needs for its public names to load on first use.

    In its `__init__.py`: `__getattr__, __dir__, __all__ = attach(__name__, {...})`.

    Args:
        package: str, the package's full name.
        homes: dict from public name to the module of the package that defines it.
        rooms: sequence of str, modules of the package that are public themselves.

    Returns:
        tuple of the functions `__getattr__` and `__dir__` (PEP 562), and the list `__all__`.
    """
    names = sorted([*homes, *rooms])

    def get_name(name):
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{homes.get(name, name)}")
        return getattr(module, name) if name in homes else module

    return get_name, lambda: names, names
