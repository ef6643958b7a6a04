"""Pictures of data, detections and training. Names load on first use."""

from keras_detr.lazy_names import attach

_HOMES = {
    "PredictionPictures": "prediction_pictures",
    "plot_attention": "attention",
    "plot_batch": "batch",
    "plot_comparison": "comparison",
    "plot_confusion_matrix": "confusion",
    "plot_detections": "detections",
    "plot_history": "history",
    "plot_precision_recall": "precision_recall",
    "plot_predictions": "model_predictions",
    "plot_segments": "segments",
}

__getattr__, __dir__, __all__ = attach(__name__, _HOMES)
