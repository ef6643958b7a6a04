"""Score a detector on a data set, in pixels of the original images."""

import keras
import numpy as np

from keras_detr.evaluation.coco_metrics import COCOMetrics
from keras_detr.ops.boxes import convert_box_format


def evaluate_detector(model, batches, verbose=0):
    """Return COCO's figures for a model's predictions on batches of images.

    Args:
        model: a detector: `predict_on_batch`, `num_classes` and `bounding_box_format`.
        batches: iterable of batches as the data sets and `PadToCanvas` make them: dicts of
            "images", perhaps "pixel_mask", "image_size" (batch, 2), the height and width of the
            original images, and "bounding_boxes" in the model's format. Its "area" and "is_crowd"
            are COCO's; area is scaled with the image.
        verbose: int, 1 shows a progress bar.

    Returns:
        dict of float: see `COCOMetrics.result`.

    Raises:
        ValueError: there are no images, or a batch lacks "image_size".
    """
    metrics = COCOMetrics("rel_xyxy", num_classes=model.num_classes)
    progress = keras.utils.Progbar(_length(batches), verbose=verbose, unit_name="batch")
    for batch in batches:
        if "image_size" not in batch:
            raise ValueError(
                "A batch must have 'image_size', the (height, width) of its original images, in "
                f"which COCO measures objects. Received the keys: {sorted(batch)}."
            )
        inputs = {name: _array(batch[name]) for name in ("images", "pixel_mask") if name in batch}
        detections = {name: _array(value) for name, value in model.predict_on_batch(inputs).items()}
        truth = {name: _array(value) for name, value in batch["bounding_boxes"].items()}
        seen_size = _unpadded_size(inputs)
        original_size = _array(batch["image_size"])
        for boxes in (truth, detections):
            boxes["boxes"] = convert_box_format(
                boxes["boxes"].astype("float64"),
                model.bounding_box_format,
                "rel_xyxy",
                (seen_size[:, :1], seen_size[:, 1:]),
                np.stack,
            )
        if "area" in truth:
            scale = np.prod(original_size, axis=1) / np.prod(seen_size, axis=1)
            truth["area"] = truth["area"] * scale[:, None]
        metrics.update_state(truth, detections, image_sizes=original_size)
        progress.add(1)
    return metrics.result()


def _array(value):
    return keras.ops.convert_to_numpy(value)


def _length(batches):
    try:
        return len(batches)
    except TypeError:
        return None


def _unpadded_size(inputs):
    """Return the heights and widths (batch, 2) of the images without their padding."""
    if "pixel_mask" not in inputs:
        batch, height, width, _ = inputs["images"].shape
        return np.tile(np.array([[height, width]]), (batch, 1))
    mask = inputs["pixel_mask"] != 0
    return np.stack([mask[:, :, 0].sum(axis=1), mask[:, 0, :].sum(axis=1)], axis=1)
