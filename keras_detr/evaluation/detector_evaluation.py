"""Evaluate a detector on a data set, in pixels of the original images."""

from typing import Any

import keras
import numpy as np

from keras_detr.batches.arrays import to_numpy
from keras_detr.batches.class_names import check_same_classes
from keras_detr.batches.image_sizes import unpadded_sizes
from keras_detr.batches.structure import input_parts
from keras_detr.batches.training_batch import check_training_batch
from keras_detr.evaluation.coco_metrics import COCOMetrics
from keras_detr.ops.boxes import convert_box_format


def evaluate_detector(
    model: Any, batches: Any, *, verbose: int | str = 0, metrics: Any = None, on_batch: Any = None
) -> dict[str, Any]:
    """Return COCO's metrics for a model's predictions on batches of images.

    Batches are read one after the other, and only their boxes are kept. A smaller batch, as the
    last one often is, is padded, so that the model isn't compiled for its size.

    Args:
        model: a detector with `predict_on_batch`, `num_classes` and `bounding_box_format`.
        batches: iterable or `keras.utils.PyDataset` of batches as the data sets and `PadToCanvas`
            return them: dicts of "images", optionally "pixel_mask", "image_size" (batch, 2), the
            height and width of the original images, and "bounding_boxes" in the model's format.
            Their "area" and "is_crowd" are COCO's; areas are scaled with the image.
        verbose: int, 1 shows a progress bar.
        metrics: `COCOMetrics("rel_xyxy", ...)` to update, for more than the twelve metrics; it
            holds all images after this call. None creates one.
        on_batch: function of a batch and its detections, called after each batch. Detections are
            NumPy arrays as `predict` returns them, with "boxes" xyxy in pixels of the original
            images.

    Returns:
        dict of float: see `COCOMetrics.result`.

    Raises:
        ValueError: there are no images, a batch lacks an entry, its images or boxes aren't as `fit`
            takes them, its `class_names` aren't the model's, or `metrics` takes another format.

    Example:
        ```python
        from keras_detr.evaluation import evaluate_detector, summary_table

        print(summary_table(evaluate_detector(model, valid_batches)))
        ```
    """
    if metrics is None:
        metrics = COCOMetrics("rel_xyxy", num_classes=model.num_classes)
    elif metrics.bounding_box_format != "rel_xyxy":
        raise ValueError(
            '`metrics` must be made with the format "rel_xyxy", in which a detector is scored. '
            f"Received one of {metrics.bounding_box_format!r}."
        )
    check_same_classes(batches, model)
    progress = keras.utils.Progbar(_length(batches), verbose=verbose, unit_name="batch")
    num_batches = 0
    predict = _PaddedBatches(model)
    for batch in each_batch(batches):
        check_batch(model, batch)
        images, pixel_mask, _ = input_parts(batch)
        inputs = {"images": to_numpy(images)}
        if pixel_mask is not None:
            inputs["pixel_mask"] = to_numpy(pixel_mask)
        detections = predict(inputs)
        truth = {name: to_numpy(value) for name, value in batch["bounding_boxes"].items()}
        sides = unpadded_sizes(inputs["images"], inputs.get("pixel_mask"))
        seen_size = np.stack(sides, axis=1)
        original_size = to_numpy(batch["image_size"])
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
        if on_batch is not None:
            scale = original_size[:, None, [1, 0, 1, 0]]
            on_batch(batch, {**detections, "boxes": detections["boxes"] * scale})
        progress.add(1)
        num_batches += 1
    if progress.target is None and num_batches:
        # If the number of batches wasn't known, the bar has to be ended.
        progress.update(num_batches, finalize=True)
    return metrics.result()


def each_batch(batches):
    """Yield the batches of an iterable or of a `keras.utils.PyDataset`."""
    if isinstance(batches, keras.utils.PyDataset):
        for index in range(batches.num_batches):
            yield batches[index]
    else:
        yield from batches


def check_batch(model, batch, image_range=None):
    """Check that a batch is as `fit` takes it, and that COCO's metrics can be computed from it.

    Args:
        model: as in `evaluate_detector`.
        batch: dict.
        image_range: `ImageRange` that reports images of other values than a model takes, or None.

    Raises:
        ValueError: an entry is missing, or images or boxes are wrong; the message says which.
    """
    if not isinstance(batch, dict):
        raise ValueError(
            "A batch must be a dict of 'images', 'image_size' and 'bounding_boxes', as the data "
            f"sets of keras_detr make them. Received: {type(batch).__name__}."
        )
    missing = {"images", "image_size", "bounding_boxes"} - set(batch)
    if missing:
        raise ValueError(
            f"A batch must have {sorted(missing)}; 'image_size' is the (height, width) of its "
            "original images, in which COCO measures objects. Received the keys: "
            f"{sorted(batch)}."
        )
    check_training_batch(
        batch,
        batch["bounding_boxes"],
        model.num_classes,
        model.bounding_box_format,
        image_range=image_range,
    )


class _PaddedBatches:
    """Predict batches; smaller ones are padded to the largest seen with images of their size."""

    def __init__(self, model):
        self.model = model
        self.sizes = {}

    def __call__(self, inputs):
        number, *canvas = inputs["images"].shape
        size = self.sizes[tuple(canvas)] = max(number, self.sizes.get(tuple(canvas), 0))
        if number < size:
            # The last image is repeated: it is finite, and its mask isn't empty.
            rows = np.minimum(np.arange(size), number - 1)
            inputs = {name: value[rows] for name, value in inputs.items()}
        found = self.model.predict_on_batch(inputs)
        return {name: to_numpy(value)[:number] for name, value in found.items()}


def _length(batches):
    if isinstance(batches, keras.utils.PyDataset):
        return batches.num_batches
    try:
        return len(batches)
    except TypeError:
        return None
