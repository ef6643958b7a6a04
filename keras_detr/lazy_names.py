"""Load the public names of packages on first use, so that importing the packages is fast."""

import importlib


def attach(package, homes, modules=()):
    """Return the functions and list with which a package loads its public names on first use.

    Its `__init__.py` has `__getattr__, __dir__, __all__ = attach(__name__, {...})`.

    Args:
        package: str, the package's full name.
        homes: dict from public name to the module of the package that defines it.
        modules: sequence of str, the public modules of the package.

    Returns:
        tuple of the functions `__getattr__` and `__dir__` (PEP 562), and the list `__all__`.
    """
    names = sorted([*homes, *modules])

    def get_name(name):
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{homes.get(name, name)}")
        return getattr(module, name) if name in homes else module

    return get_name, lambda: names, names
