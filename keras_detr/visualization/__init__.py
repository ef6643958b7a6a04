"""Pictures of detections. Names load on first use."""

import importlib

_HOMES = {"plot_comparison": "comparison", "plot_detections": "detections"}

__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return __all__
