"""Score a detector on a data set, in pixels of the original images."""

import keras
import numpy as np

from keras_detr.batches.image_sizes import unpadded_sizes
from keras_detr.batches.structure import input_parts
from keras_detr.evaluation.coco_metrics import COCOMetrics
from keras_detr.ops.boxes import convert_box_format


def evaluate_detector(model, batches, verbose=0, *, metrics=None, on_batch=None):
    """Return COCO's figures for a model's predictions on batches of images.

    Batches are read one after the other, and of each only the boxes are kept. A smaller one, as
    the last often is, is filled up for the model, which need not be compiled for its size.

    Args:
        model: a detector: `predict_on_batch`, `num_classes` and `bounding_box_format`.
        batches: iterable of batches as the data sets and `PadToCanvas` make them: dicts of
            "images", perhaps "pixel_mask", "image_size" (batch, 2), the height and width of the
            original images, and "bounding_boxes" in the model's format. Its "area" and "is_crowd"
            are COCO's; area is scaled with the image. Or a `keras.utils.PyDataset` of them.
        verbose: int, 1 shows a progress bar.
        metrics: `COCOMetrics("rel_xyxy", ...)` to fill, for more than the twelve figures: after
            this call it holds all images. None makes one.
        on_batch: function of a batch and its detections, called after each; detections are as
            `predict` returns them, in NumPy, "boxes" in pixels of the original images, xyxy.

    Returns:
        dict of float: see `COCOMetrics.result`.

    Raises:
        ValueError: there are no images, a batch lacks an entry, or `metrics` takes another format.
    """
    if metrics is None:
        metrics = COCOMetrics("rel_xyxy", num_classes=model.num_classes)
    elif metrics.bounding_box_format != "rel_xyxy":
        raise ValueError(
            '`metrics` must be made with the format "rel_xyxy", in which a detector is scored. '
            f"Received one of {metrics.bounding_box_format!r}."
        )
    progress = keras.utils.Progbar(_length(batches), verbose=verbose, unit_name="batch")
    num_batches = 0
    predict = _FullBatches(model)
    for batch in each_batch(batches):
        check_entries(batch)
        images, pixel_mask, _ = input_parts(batch)
        inputs = {"images": _array(images)}
        if pixel_mask is not None:
            inputs["pixel_mask"] = _array(pixel_mask)
        detections = predict(inputs)
        truth = {name: _array(value) for name, value in batch["bounding_boxes"].items()}
        sides = unpadded_sizes(inputs["images"], inputs.get("pixel_mask"))
        seen_size = np.stack(sides, axis=1)
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
        if on_batch is not None:
            scale = original_size[:, None, [1, 0, 1, 0]]
            on_batch(batch, {**detections, "boxes": detections["boxes"] * scale})
        progress.add(1)
        num_batches += 1
    if progress.target is None and num_batches:
        # Where the number wasn't known before, the bar doesn't know that it has come to its end.
        progress.update(num_batches, finalize=True)
    return metrics.result()


def each_batch(batches):
    """Yield the batches of an iterable or of a `keras.utils.PyDataset`."""
    if isinstance(batches, keras.utils.PyDataset):
        for index in range(batches.num_batches):
            yield batches[index]
    else:
        yield from batches


def check_entries(batch):
    """Refuse what isn't a batch that COCO's figures can be computed from.

    Args:
        batch: dict, a batch or the `element_spec` of batches.

    Raises:
        ValueError: it is no dict, or lacks an entry; the message says which.
    """
    if not isinstance(batch, dict):
        raise ValueError(
            "A batch must be a dict of 'images', 'image_size' and 'bounding_boxes', as the data "
            f"sets of keras_detr make them. Received: {type(batch).__name__}."
        )
    missing = {"images", "bounding_boxes"} - set(batch)
    if missing:
        raise ValueError(
            f"A batch must have {sorted(missing)}. Received the keys: {sorted(batch)}."
        )
    if "image_size" not in batch:
        raise ValueError(
            "A batch must have 'image_size', the (height, width) of its original images, in "
            f"which COCO measures objects. Received the keys: {sorted(batch)}."
        )


class _FullBatches:
    """Predict batches, smaller ones filled up to the largest seen of the same canvas."""

    def __init__(self, model):
        self.model = model
        self.sizes = {}

    def __call__(self, inputs):
        number, *canvas = inputs["images"].shape
        size = self.sizes[tuple(canvas)] = max(number, self.sizes.get(tuple(canvas), 0))
        if number < size:
            # The last image once more: it is finite, and its mask isn't empty.
            rows = np.minimum(np.arange(size), number - 1)
            inputs = {name: value[rows] for name, value in inputs.items()}
        found = self.model.predict_on_batch(inputs)
        return {name: _array(value)[:number] for name, value in found.items()}


def _array(value):
    return keras.ops.convert_to_numpy(value)


def _length(batches):
    if isinstance(batches, keras.utils.PyDataset):
        return batches.num_batches
    try:
        return len(batches)
    except TypeError:
        return None
