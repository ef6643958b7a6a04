"""Detect objects in image files and arrays of any kind."""

from typing import Any

import numpy as np

from keras_detr.batches.shapes import check_batch_size
from keras_detr.inference.detections import Detections
from keras_detr.inference.image_chunks import image_chunks
from keras_detr.ops.boxes import convert_box_format
from keras_detr.preprocessing.exif_orientation import check_exif


def detect(
    model: Any,
    images: Any,
    *,
    confidence_threshold: float = 0.5,
    batch_size: int | None = None,
    verbose: int | str = "auto",
    exif: str = "apply",
) -> list[Detections]:
    """Return the objects in images of any size, in pixels of each image.

    `model.detect(images, ...)` is the same.

    A model with masks gives those of the objects too.

    Grey, CMYK, palette, transparent and 16-bit images are converted to RGB. A file that can't be
    read is logged, and its result has an `error`; the other images are processed. Only a few images
    are in memory at a time.

    Args:
        model: a detector of keras_detr.
        images: path of an image file or of a folder of them; array (height, width, 3) in 0..255,
            or with 1 or 4 channels or none; `PIL.Image.Image`; batch of arrays; or a list of these,
            mixed. Of a folder, the images directly in it are read in the order of their names.
        confidence_threshold: float, less confident objects are left out.
        batch_size: int, the number of images that are predicted at a time; by default 8, or 1 for a
            backbone with dilation.
        verbose: "auto", 0 or 1: whether to show a progress bar; "auto" does for 20 images or more.
        exif: "apply" turns files and pictures of PIL as their EXIF tag says, so that they are
            upright; "ignore" takes them as they are stored. The loaders of `keras_detr.datasets`
            have the same choice and default.

    Returns:
        list of `Detections`, one for every image, in the same order.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: `images` has another type, a folder has no images, the threshold isn't in 0..1,
            `batch_size` isn't an int of at least 1, or `exif` is another word.

    Example:
    ```python
    for found in keras_detr.detect(model, "holiday_pictures", confidence_threshold=0.7):
        print(found.path, found.names, found.confidence, found.boxes)
    ```
    """
    check_batch_size(batch_size)
    check_exif(exif)
    if not 0 <= confidence_threshold <= 1:
        raise ValueError(
            f"`confidence_threshold` must be in 0..1. Received: {confidence_threshold}."
        )
    results = []
    for chunk in image_chunks(images, exif, verbose):
        results += _detect_chunk(model, chunk, confidence_threshold, batch_size, exif)
    return results


def _detect_chunk(model, chunk, confidence_threshold, batch_size, exif):
    """Return the detections of a chunk of images."""
    images = [image for _, image, _ in chunk if image is not None]
    settings = {"batch_size": batch_size, "verbose": 0}
    if getattr(model, "has_masks", False):
        settings["confidence_threshold"] = confidence_threshold
    found = model.predict(images, **settings) if images else {}
    results, row = [], 0
    for path, image, error in chunk:
        if image is None:
            boxes, classes = np.zeros((0, 4), "float32"), np.zeros(0, "int64")
            confidence = np.zeros(0, "float32")
            results.append(Detections(path, None, boxes, classes, [], confidence, error, exif=exif))
            continue
        objects = {name: value[row] for name, value in found.items()}
        found_in_image = _objects_of_image(model, image.shape[:2], objects, confidence_threshold)
        results.append(Detections(path, tuple(image.shape[:2]), **found_in_image, exif=exif))
        row += 1
    return results


def _objects_of_image(model, size, objects, confidence_threshold):
    """Return what `Detections` holds of the objects in an image of a size (height, width)."""
    confidence = np.asarray(objects["confidence"], "float32")
    is_kept = np.arange(len(confidence)) < objects["num_detections"]
    is_kept &= confidence >= confidence_threshold
    boxes = convert_box_format(
        np.asarray(objects["boxes"], "float64"), model.bounding_box_format, "xyxy", size, np.stack
    )
    classes = np.asarray(objects["classes"]).astype("int64")[is_kept]
    names = model.class_names
    masks = objects.get("masks")
    return {
        "boxes": boxes[is_kept].astype("float32"),
        "classes": classes,
        "names": [f"class {label}" if names is None else names[label] for label in classes],
        "confidence": confidence[is_kept],
        # They are in the order of confidence, and end where that is too low.
        "masks": None if masks is None else masks[: is_kept.sum()],
    }
