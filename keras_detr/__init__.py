"""DETR, Deformable DETR and DINO for Keras 3.

Names load on first use: importing keras_detr takes no time, and imports neither Keras nor its
backend. After that, `keras.saving.load_model` finds every class of keras_detr.
"""

from keras_detr.lazy_names import attach
from keras_detr.saved_classes import register_saved_classes

__version__ = "0.1.0"

_MODULES = (
    "batches",
    "checkpoints",
    "datasets",
    "evaluation",
    "export",
    "inference",
    "layers",
    "losses",
    "models",
    "ops",
    "optimizers",
    "preprocessing",
    "visualization",
)
_HOMES = {
    "ContrastiveDenoising": "layers",
    "DETR": "models",
    "DETRSegmenter": "models",
    "DINODETR": "models",
    "DeformableDETR": "models",
    "FrozenBatchNormalization": "layers",
    "HungarianLoss": "losses",
    "LearnedPositionEmbedding": "layers",
    "MultiScaleDeformableAttention": "layers",
    "MultiScaleNeck": "models",
    "ObjectDetector": "models",
    "ResNetBackbone": "models",
    "SetPredictionDecoder": "layers",
    "SetPredictionDetector": "models",
    "SinePositionEmbedding": "layers",
    "SingleScaleNeck": "models",
    "TrainingRun": "models",
    "detect": "inference",
    "detr_optimizer": "optimizers",
    "load": "models",
}

__getattr__, __dir__, __all__ = attach(__name__, _HOMES, _MODULES)
register_saved_classes()
