"""Box-aware layers for tf.data. Names are loaded on first use."""

from keras_detr.lazy_names import attach

_HOMES = {
    "BoxAwareLayer": "box_aware_layer",
    "DETRAugmentation": "detr_augmentation",
    "DETRPreprocessor": "detr_preprocessor",
    "PadToCanvas": "pad_to_canvas",
    "RandomChoice": "pipelines",
    "RandomHorizontalFlip": "random_horizontal_flip",
    "RandomResizeShortestSide": "random_resize_shortest_side",
    "RandomSizeCrop": "random_size_crop",
    "Resize": "resize",
    "ResizeShortestSide": "resize_shortest_side",
    "ResizingLayer": "resize",
    "CANVASES": "bucketing",
    "bucketed_batches": "bucketing",
    "evaluation_batches": "detection_batches",
    "resized_size": "short_side_sizes",
    "scaled_canvases": "bucketing",
    "training_batches": "detection_batches",
}

__getattr__, __dir__, __all__ = attach(__name__, _HOMES)
