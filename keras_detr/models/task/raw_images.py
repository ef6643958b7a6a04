"""Predict on raw images of any sizes: resize, batch, predict, and bring boxes back."""

import logging

import keras
import numpy as np

from keras_detr.batches.image_range import check_scaled, takes_raw_images
from keras_detr.batches.image_sizes import unpadded_sizes
from keras_detr.batches.images import raw_images
from keras_detr.batches.shapes import check_batch_size, shape_of
from keras_detr.batches.structure import input_parts
from keras_detr.ops.boxes import convert_box_format
from keras_detr.ops.installed_packages import is_installed
from keras_detr.preprocessing.short_side_sizes import resized_size

logger = logging.getLogger("keras_detr")

# The short side and the long side's limit, in pixels, of the published weights.
PREPROCESSOR_SIZES = (800, 1333)
# Of a side. Images that were resized and rounded to whole numbers differ by a pixel or two.
_LARGEST_DIFFERENCE = 0.02


def is_list_of_images(x):
    """Return whether a model's input is a list of single images, not a batch."""
    return isinstance(x, (list, tuple)) and all(getattr(image, "ndim", 0) in (2, 3) for image in x)


def check_preprocessor_sizes(sizes):
    """Raise a ValueError if sizes are no pair of a short side and the long side's limit."""
    is_pair = isinstance(sizes, (tuple, list)) and len(sizes) == 2
    short_side, longest_side = sizes if is_pair else (0, None)
    is_right = isinstance(short_side, int) and short_side >= 1
    if longest_side is not None:
        is_right = is_right and isinstance(longest_side, int) and longest_side >= short_side
    if not is_right:
        raise ValueError(
            "`preprocessor_sizes` must be the short side in pixels, an int of at least 1, and the "
            f"long side's limit, an int not below it or None. Received: {sizes!r}."
        )


def build_preprocessor(sizes, bounding_box_format):
    """Return the preprocessor that resizes raw images; without TensorFlow, raise an ImportError."""
    if not is_installed("tensorflow"):
        raise ImportError(
            "Raw images are resized by TensorFlow, whatever the Keras backend is, and it isn't "
            "installed: `pip install tensorflow-cpu`. Or resize images yourself and pass a batch: "
            "images (batch, height, width, 3), or a dict with 'pixel_mask' where some are padded."
        )
    # It needs TensorFlow, and the models don't.
    from keras_detr.preprocessing.detr_preprocessor import DETRPreprocessor

    return DETRPreprocessor(
        sizes[0], longest_side=sizes[1], bounding_box_format=bounding_box_format
    )


def report_unresized(model, x):
    """Log once for a model that an array of raw images isn't resized, as a list of them would be.

    Args:
        model: `SetPredictionDetector`.
        x: images or a dict of them, checked; anything else isn't looked at.
    """
    images, pixel_mask, _ = input_parts(x)
    # Images that were resized are real numbers.
    is_raw = "int" in str(images.dtype)
    if not is_raw or pixel_mask is not None or model._untracked.is_unresized_reported:
        return
    size = shape_of(images)[1:3]
    wanted = resized_size(*size, *model.preprocessor_sizes)
    if np.allclose(size, wanted, rtol=_LARGEST_DIFFERENCE):
        return
    model._untracked.is_unresized_reported = True
    logger.warning(
        "`x`: a batch of whole numbers, as raw images are, of (height, width) %s. `predict` "
        "doesn't resize a batch; a list of images is resized, here to %s (`preprocessor_sizes` "
        "%s), and finds other boxes. Pass `list(images)`, or real numbers if this size is wanted. "
        "This line comes once.",
        tuple(size),
        wanted,
        model.preprocessor_sizes,
    )


def predict_raw_images(model, images, batch_size=None, verbose="auto"):
    """Return what a detector's `predict` does for a list of raw images, in the order of these.

    Args:
        model: `SetPredictionDetector`.
        images: list of arrays (height, width, 3), RGB in 0..255.
        batch_size: int or None: 8, or 1 for a backbone with dilation, whose published weights
            were trained and scored without padding.
        verbose: "auto", 0 or 1: whether to show a progress bar; "auto" does for 20 images on.
    """
    check_batch_size(batch_size)
    images = raw_images(images, "x")
    if takes_raw_images(model.backbone):
        for image in images:
            check_scaled(image)
    if batch_size is None:
        batch_size = 1 if getattr(model.backbone, "dilation", False) else 8
    is_shown = len(images) >= 20 if verbose == "auto" else bool(verbose)
    progress = keras.utils.Progbar(len(images), verbose=int(is_shown), unit_name="image")
    rows = [None] * len(images)
    for indices, batch in model.preprocessor.batches(images, batch_size):
        inputs = {name: batch[name] for name in ("images", "pixel_mask")}
        found = model.predict_on_batch(inputs)
        found = {name: keras.ops.convert_to_numpy(value) for name, value in found.items()}
        heights, widths = unpadded_sizes(batch["images"], batch["pixel_mask"])
        for row, index in enumerate(indices):
            sizes = (heights[row], widths[row]), batch["image_size"][row]
            boxes = _in_original(found["boxes"][row], model.bounding_box_format, *sizes)
            detection = {name: value[row] for name, value in found.items()}
            rows[index] = {**detection, "boxes": boxes}
        progress.add(len(indices))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _in_original(boxes, bounding_box_format, seen_size, original_size):
    relative = convert_box_format(
        boxes.astype("float64"), bounding_box_format, "rel_xyxy", seen_size, np.stack
    )
    boxes = convert_box_format(relative, "rel_xyxy", bounding_box_format, original_size, np.stack)
    return boxes.astype("float32")
