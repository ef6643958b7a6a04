"""Detection data sets as tf.data, all of one element structure. Names load on first use."""

import importlib

_HOMES = {
    "DataReport": "data_report",
    "Shapes": "generated_shapes",
    "ShapesConfig": "shapes_config",
    "load_coco": "coco",
    "load_coco_json": "coco_json",
    "load_shapes": "generated_shapes",
    "load_voc": "voc",
    "load_yolo": "yolo",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return __all__
