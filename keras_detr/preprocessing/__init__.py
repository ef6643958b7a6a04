"""Box-aware layers for tf.data, and the checks a training batch passes.

Names are loaded on first use, so that `check_training_batch` is importable without TensorFlow.
"""

from keras_detr.lazy_names import attach

_HOMES = {
    "BoxAwareLayer": "box_aware_layer",
    "DETRAugmentation": "detr_augmentation",
    "DETRPreprocessor": "detr_preprocessor",
    "DroppedBoxes": "dropped_boxes",
    "PadToCanvas": "pad_to_canvas",
    "RandomChoice": "pipelines",
    "RandomHorizontalFlip": "random_horizontal_flip",
    "RandomResizeShortestSide": "random_resize_shortest_side",
    "RandomSizeCrop": "random_size_crop",
    "Resize": "resize",
    "ResizeShortestSide": "resize_shortest_side",
    "ResizingLayer": "resize",
    "CANVASES": "canvases",
    "bucketed_batches": "canvases",
    "check_training_batch": "array_checks",
    "checked_prediction_batches": "detection_batches",
    "checked_training_batches": "detection_batches",
    "resized_size": "resize_shortest_side",
    "scaled_canvases": "canvases",
}

__getattr__, __dir__, __all__ = attach(__name__, _HOMES)
