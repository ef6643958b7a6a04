"""Predict on raw images of any sizes: resize, batch, predict, and bring boxes back."""

import keras
import numpy as np

from keras_detr.ops.boxes import convert_box_format


def is_list_of_images(x):
    """Return whether a model's input is a list of single images, not a batch."""
    return isinstance(x, (list, tuple)) and all(getattr(image, "ndim", 0) == 3 for image in x)


def default_preprocessor(bounding_box_format):
    """Return the preprocessor of the published weights."""
    # It needs TensorFlow, and the models don't.
    from keras_detr.preprocessing.detr_preprocessor import DETRPreprocessor

    return DETRPreprocessor(bounding_box_format=bounding_box_format)


def predict_raw_images(model, images, batch_size=None, verbose="auto"):
    """Return the detections of raw images, in the order that these came in.

    Args:
        model: a detector with `preprocessor`, `predict_on_batch` and `bounding_box_format`.
        images: list of arrays (height, width, 3), RGB in 0..255.
        batch_size: int or None: 8, or 1 for a backbone with dilation, whose published weights
            were trained and scored without padding.
        verbose: "auto", 0 or 1: whether to show a progress bar; "auto" does for 20 images on.

    Returns:
        dict of NumPy arrays, see `decode_predictions` of a detector; boxes are in its format, of
        the images as they came.
    """
    if not images:
        raise ValueError("`x` must hold at least one image. Received an empty list.")
    images = [keras.ops.convert_to_numpy(image) for image in images]
    if batch_size is None:
        batch_size = 1 if getattr(model.backbone, "dilation", False) else 8
    is_shown = len(images) >= 20 if verbose == "auto" else bool(verbose)
    progress = keras.utils.Progbar(len(images), verbose=int(is_shown), unit_name="image")
    rows = [None] * len(images)
    for indices, batch in model.preprocessor.batches(images, batch_size):
        inputs = {name: batch[name] for name in ("images", "pixel_mask")}
        found = model.predict_on_batch(inputs)
        found = {name: keras.ops.convert_to_numpy(value) for name, value in found.items()}
        for row, index in enumerate(indices):
            detection = {name: value[row] for name, value in found.items()}
            mask = batch["pixel_mask"][row]
            seen_size = mask[:, 0].sum(), mask[0].sum()
            detection["boxes"] = _in_original(
                detection["boxes"], model.bounding_box_format, seen_size, batch["image_size"][row]
            )
            rows[index] = detection
        progress.add(len(indices))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _in_original(boxes, bounding_box_format, seen_size, original_size):
    relative = convert_box_format(
        boxes.astype("float64"), bounding_box_format, "rel_xyxy", seen_size, np.stack
    )
    boxes = convert_box_format(relative, "rel_xyxy", bounding_box_format, original_size, np.stack)
    return boxes.astype("float32")
