"""Predict on raw images of any sizes: resize, batch, predict, and bring boxes and masks back."""

import keras
import numpy as np

from keras_detr.batches.image_range import check_scaled, takes_raw_images
from keras_detr.batches.image_sizes import unpadded_sizes
from keras_detr.batches.images import raw_images
from keras_detr.batches.shapes import check_batch_size
from keras_detr.models.task.carried_inputs import with_threshold
from keras_detr.ops.boxes import convert_box_format
from keras_detr.ops.masks.encoded_masks import encode_masks
from keras_detr.ops.masks.segmentation import instance_masks


def predict_raw_images(
    model, images, batch_size=None, verbose="auto", *, confidence_threshold=None
):
    """Return what a detector's `predict` does for a list of raw images, in the order of these.

    Args:
        model: `SetPredictionDetector`.
        images: list of arrays (height, width, 3), RGB in 0..255.
        batch_size: int or None: 8, or 1 for a model that `is_trained_unpadded`.
        verbose: "auto", 0 or 1: whether to show a progress bar; "auto" does for 20 images on.
        confidence_threshold: float or None; the masks of less confident detections are left out.
    """
    rows = [None] * len(images)
    settings = {"confidence_threshold": confidence_threshold, "verbose": verbose}
    for index, found, sizes in raw_predictions(model, images, batch_size, **settings):
        logits = found.pop("mask_logits", None)
        if logits is not None:
            kept = found["confidence"][: found["num_detections"]] >= (confidence_threshold or 0)
            # One at a time: those of a large photo take gigabytes.
            masks = (instance_masks(one[None], **sizes)[0] for one in logits[: kept.sum()])
            found["masks"] = encode_masks(masks)
        rows[index] = found
    return {
        name: [row[name] for row in rows] if name == "masks" else np.stack([r[name] for r in rows])
        for name in rows[0]
    }


def raw_predictions(model, images, batch_size=None, *, verbose="auto", confidence_threshold=None):
    """Yield what a detector finds in each of a list of raw images, in any order.

    Arguments are those of `predict_raw_images`.

    Yields:
        tuples of int, the image's place in the list; dict of arrays, the detections with boxes of
        the original image; and dict of the sizes that `instance_masks` takes, of "mask_logits".
    """
    check_batch_size(batch_size)
    images = raw_images(images, "x")
    if takes_raw_images(model.backbone):
        for image in images:
            check_scaled(image)
    if batch_size is None:
        batch_size = 1 if model.is_trained_unpadded else 8
    is_shown = len(images) >= 20 if verbose == "auto" else bool(verbose)
    progress = keras.utils.Progbar(len(images), verbose=int(is_shown), unit_name="image")
    preprocessor = model.preprocessor
    batches = _batches_of_one_size if preprocessor is None else preprocessor.batches
    for indices, batch in batches(images, batch_size):
        inputs = {name: batch[name] for name in ("images", "pixel_mask")}
        if model.has_masks and confidence_threshold is not None:
            inputs = with_threshold(inputs, confidence_threshold)
        found = model.predict_on_batch(inputs)
        found = {name: keras.ops.convert_to_numpy(value) for name, value in found.items()}
        unpadded = np.stack(unpadded_sizes(batch["images"], batch["pixel_mask"]), axis=-1)
        for row, index in enumerate(indices):
            seen, original = unpadded[row], batch["image_size"][row]
            boxes = _in_original(found["boxes"][row], model.bounding_box_format, seen, original)
            detection = {name: value[row] for name, value in found.items()}
            sizes = {
                "canvas_size": tuple(map(int, batch["images"].shape[1:3])),
                "unpadded_size": tuple(map(int, seen)),
                "image_size": tuple(map(int, original)),
            }
            yield index, {**detection, "boxes": boxes}, sizes
        progress.add(len(indices))


def _batches_of_one_size(images, batch_size):
    """Yield what `DETRPreprocessor.batches` does, of images that keep their size."""
    groups = {}
    for index, image in enumerate(images):
        groups.setdefault(image.shape[:2], []).append(index)
    for size, indices in groups.items():
        for start in range(0, len(indices), batch_size):
            chosen = indices[start : start + batch_size]
            batch = np.stack([images[index] for index in chosen]).astype("float32")
            sizes = np.full((len(chosen), 2), size, "int32")
            mask = np.ones(batch.shape[:3], "uint8")
            yield chosen, {"images": batch, "pixel_mask": mask, "image_size": sizes}


def _in_original(boxes, bounding_box_format, seen_size, original_size):
    relative = convert_box_format(
        boxes.astype("float64"), bounding_box_format, "rel_xyxy", seen_size, np.stack
    )
    boxes = convert_box_format(relative, "rel_xyxy", bounding_box_format, original_size, np.stack)
    return boxes.astype("float32")
