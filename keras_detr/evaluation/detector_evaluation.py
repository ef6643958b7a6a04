"""Evaluate a detector on a data set, in pixels of the original images."""

from typing import Any

import keras
import numpy as np

from keras_detr.batches.class_names import check_same_classes
from keras_detr.batches.image_sizes import unpadded_sizes
from keras_detr.batches.structure import input_parts
from keras_detr.batches.training_batch import check_training_batch
from keras_detr.evaluation.coco_metrics import COCOMetrics
from keras_detr.evaluation.mask_scores import MaskScores, MaskSizes, masks_of_originals
from keras_detr.evaluation.shared_batches import SharedBatches
from keras_detr.ops.boxes import convert_box_format
from keras_detr.ops.numpy_arrays import to_numpy
from keras_detr.ops.processes import failing_together, verbose_of_process


def evaluate_detector(
    model: Any,
    batches: Any,
    *,
    verbose: int | str = 0,
    metrics: Any = None,
    mask_metrics: Any = None,
    on_batch: Any = None,
) -> dict[str, Any]:
    """Return COCO's metrics for a model's predictions on batches of images.

    Batches are read one after the other, and only their boxes are kept, and masks encoded. A
    smaller batch, as the last one often is, is padded, so that the model isn't compiled for its
    size.

    Masks are scored if the model predicts them and the batches have them. They are compared at the
    size of the original image, or at that without padding in the batch if it is smaller; the height
    and the width each. True masks that were enlarged with their image become what they were, so the
    figures of COCO's images, which DETR enlarges, are those of the original masks.

    Where several processes run together, all of them call this with the same batches. Each predicts
    its share, every n-th batch of n processes, and all return the figures of all images, those that
    one process would. If an error occurs in one, all of them raise. Where `batches` have an
    attribute `is_part_of_process` that is true, they hold the process' own rows of each batch, and
    all are predicted.

    Args:
        model: a detector with `predict_on_batch`, `num_classes` and `bounding_box_format`.
        batches: iterable or `keras.utils.PyDataset` of batches as the data sets and `PadToCanvas`
            return them: dicts of "images", optionally "pixel_mask", "image_size" (batch, 2), the
            height and width of the original images, and "bounding_boxes" in the model's format.
            Their "area" and "is_crowd" are COCO's; areas are scaled with the image. "masks" are
            bool (batch, N, height, width) of the padded images.
        verbose: int, 1 shows a progress bar, in the first process.
        metrics: `COCOMetrics("rel_xyxy", ...)` to update, for more than the twelve metrics; it
            holds all images after this call, in every process. None creates one.
        mask_metrics: `COCOMaskMetrics` to update, likewise; for models with masks only.
        on_batch: function of a batch and its detections, called after each batch that this process
            predicts. Detections are
            NumPy arrays as `predict` returns them, with "boxes" xyxy in pixels of the original
            images; and where masks are scored also "masks", a list for each image, of encoded masks
            of its original size, see `keras_detr.inference.encode_masks`, or None for padding.

    Returns:
        dict of float: see `COCOMetrics.result`. Where masks are scored, theirs follow as "mask_AP",
        "mask_AP50" and so on.

    Raises:
        RuntimeError: there is an error in another process.
        ValueError: there are no images, a batch lacks an entry, its images, boxes or masks aren't
            as `fit` takes them, its `class_names` aren't the model's, only some batches have masks,
            `metrics` takes another format, or there are `mask_metrics` and the model has no masks.

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
    masks = MaskScores(model, mask_metrics)
    return evaluate_batches(model, batches, metrics, masks, verbose, on_batch)


def evaluate_batches(model, batches, metrics, masks, verbose=0, on_batch=None):
    """Do what `evaluate_detector` does, with `COCOMetrics` and `MaskScores`."""
    check_same_classes(batches, model)
    shared = SharedBatches(batches)
    collections = [(one, one.num_images) for one in (metrics, masks.metrics) if one is not None]
    # An error in the batches of one process ends the evaluation in all.
    with failing_together():
        ends = _evaluate_own(model, shared, metrics, masks, verbose, on_batch)
    masks.agree()
    shared.gather_images(collections, ends)
    return {**metrics.result(), **masks.result()}


def _evaluate_own(model, batches, metrics, masks, verbose, on_batch):
    """Evaluate the batches of this process, and return how many images there were after each."""
    verbose = verbose_of_process(verbose)
    progress = keras.utils.Progbar(batches.num_batches(), verbose=verbose, unit_name="batch")
    ends, num_before = [], metrics.num_images
    predict = _PaddedBatches(model)
    for batch in batches:
        true_masks = check_batch(model, batch, masks).get("masks")
        images, pixel_mask, _ = input_parts(batch)
        inputs = {"images": to_numpy(images)}
        if pixel_mask is not None:
            inputs["pixel_mask"] = to_numpy(pixel_mask)
        detections = predict(inputs)
        entries = batch["bounding_boxes"]
        truth = {name: to_numpy(entries[name]) for name in entries if name != "masks"}
        sides = unpadded_sizes(inputs["images"], inputs.get("pixel_mask"))
        original_size = to_numpy(batch["image_size"])
        seen_size = np.broadcast_to(np.stack(sides, axis=1), original_size.shape)
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
        if true_masks is not None:
            sizes = MaskSizes(inputs["images"].shape[1:3], seen_size, original_size)
            compared = masks.update({**truth, "masks": true_masks}, detections, sizes)
            if on_batch is not None:
                detections["masks"] = masks_of_originals(compared, detections, sizes)
        if on_batch is not None:
            scale = original_size[:, None, [1, 0, 1, 0]]
            on_batch(batch, {**detections, "boxes": detections["boxes"] * scale})
        progress.add(1)
        ends.append(metrics.num_images - num_before)
    if progress.target is None and ends:
        # If the number of batches wasn't known, the bar has to be ended.
        progress.update(len(ends), finalize=True)
    return ends


def check_batch(model, batch, masks, image_range=None):
    """Check that a batch is as `fit` takes it, and that COCO's metrics can be computed from it.

    Args:
        model: as in `evaluate_detector`.
        batch: dict.
        masks: `MaskScores`.
        image_range: `ImageRange` that reports images of other values than a model takes, or None.

    Returns:
        dict of NumPy arrays, see `check_training_batch`; with "masks" if they are scored.

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
    return check_training_batch(
        batch,
        batch["bounding_boxes"],
        model.num_classes,
        model.bounding_box_format,
        image_range=image_range,
        has_masks=masks.are_in(batch["bounding_boxes"]),
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
