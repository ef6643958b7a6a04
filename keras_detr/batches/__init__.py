"""What a batch of images and boxes may look like, and what makes one wrong.

The rules are NumPy's; only `tf_data` needs TensorFlow. Names are loaded on first use.
"""

from keras_detr.lazy_names import attach

_HOMES = {
    "BatchParts": "structure",
    "DroppedBoxes": "dropped_boxes",
    "ImageRange": "image_range",
    "batch_parts": "structure",
    "check_inputs": "training_batch",
    "check_training_batch": "training_batch",
    "checked_prediction_batches": "tf_data",
    "checked_training_batches": "tf_data",
}

__getattr__, __dir__, __all__ = attach(__name__, _HOMES)
