"""The command `keras-detr`: a thin layer over the public functions. Modules load on first use."""

from keras_detr.lazy_names import attach

__getattr__, __dir__, __all__ = attach(
    __name__, {}, ("command", "evaluate", "export", "info", "predict", "train")
)
