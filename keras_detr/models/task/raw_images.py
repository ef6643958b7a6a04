"""Raw images of any sizes: how they are resized, and whether a batch of them was."""

import logging

import keras
import numpy as np

from keras_detr.batches.image_range import image_range_of
from keras_detr.batches.shapes import shape_of
from keras_detr.ops.installed_packages import is_installed
from keras_detr.preprocessing.short_side_sizes import is_pair_of_sizes, resized_size

logger = logging.getLogger("keras_detr")

# The short side and the long side's limit, in pixels, of the published weights.
PREPROCESSOR_SIZES = (800, 1333)
# Of a side. Images that were resized and rounded to whole numbers differ by a pixel or two.
_LARGEST_DIFFERENCE = 0.02


def is_list_of_images(x):
    """Return whether a model's input is a list of single images, not a batch."""
    return isinstance(x, (list, tuple)) and all(getattr(image, "ndim", 0) in (2, 3) for image in x)


def check_preprocessor_sizes(sizes):
    """Raise a ValueError if sizes are neither a short side and the long side's limit nor `None`."""
    if sizes is not None and not is_pair_of_sizes(sizes):
        raise ValueError(
            "`preprocessor_sizes` must be the short side in pixels, an int of at least 1, and the "
            "long side's limit, an int not below it or None; or None instead of both, so that raw "
            f"images keep their size. Received: {sizes!r}."
        )


def sizes_of_preprocessor(preprocessor):
    """Return the `preprocessor_sizes` of a preprocessor that a model is to have, or of `None`."""
    if preprocessor is None:
        return None
    # Its class can't be imported without TensorFlow, and then there is no object of it.
    if not isinstance(preprocessor, keras.Layer) or not hasattr(preprocessor, "pad_together"):
        raise ValueError(
            "`preprocessor` must be a `keras_detr.preprocessing.DETRPreprocessor`, or None: then "
            f"images keep their size. Received: {preprocessor!r:.80}."
        )
    return preprocessor.short_side, preprocessor.longest_side


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


class PredictedImages:
    """Report once what is wrong with the images of batches that `predict` is given.

    That is what `ImageRange` reports, and that a batch isn't resized, as a list of images would be.

    Args:
        model: `SetPredictionDetector`.
    """

    def __init__(self, model):
        # Not the model itself: TensorFlow keeps what the functions of a data set refer to.
        self._image_range = image_range_of(model)
        self._sizes = model.preprocessor_sizes
        self._told_sizes = model._untracked.told_unresized

    def report(self, images, image_ids=None, pixel_mask=None):
        """Log what is wrong; the arguments are those of `ImageRange.report`."""
        self._image_range.report(images, image_ids, pixel_mask)
        # Images with a mask were prepared.
        if pixel_mask is None:
            self._report_unresized(shape_of(images)[1:3])

    def _report_unresized(self, size):
        if self._sizes is None or self._told_sizes:
            return
        wanted = resized_size(*size, *self._sizes)
        if np.allclose(size, wanted, rtol=_LARGEST_DIFFERENCE):
            return
        self._told_sizes.append(tuple(size))
        logger.warning(
            "`x`: `predict` doesn't resize a batch, here images of (height, width) %s. A list of "
            "raw images, `predict(list(images))`, and `model.detect(images)` are resized, here to "
            "%s, and other boxes are found. If this size is wanted, pass a 'pixel_mask' too, or "
            "change `preprocessor_sizes`, now %s. This line comes once.",
            tuple(size),
            wanted,
            tuple(self._sizes),
        )
