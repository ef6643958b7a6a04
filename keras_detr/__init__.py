"""DETR and Deformable DETR for Keras 3.

Names load on first use: importing keras_detr imports neither Keras nor TensorFlow.
"""

import importlib

__version__ = "0.1.0"

_ROOMS = (
    "checkpoints",
    "datasets",
    "evaluation",
    "layers",
    "losses",
    "models",
    "ops",
    "optimizers",
    "preprocessing",
    "visualization",
)
_HOMES = {
    "DETR": "models",
    "FrozenBatchNormalization": "layers",
    "HungarianLoss": "losses",
    "LearnedPositionEmbedding": "layers",
    "ResNetBackbone": "models",
    "SetPredictionDecoder": "layers",
    "SinePositionEmbedding": "layers",
    "SingleScaleNeck": "models",
    "detr_optimizer": "optimizers",
}

__all__ = sorted([*_HOMES, *_ROOMS])


def __getattr__(name):
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
