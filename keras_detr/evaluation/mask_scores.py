"""Score the masks of batches beside their boxes, one image after the other."""

import logging
from typing import NamedTuple

import numpy as np

from keras_detr.evaluation.coco_mask_metrics import COCOMaskMetrics
from keras_detr.evaluation.summary import MASK_PREFIX
from keras_detr.ops.masks.encoded_masks import encode_masks
from keras_detr.ops.masks.mask_sampling import CENTER, nearest_pixels
from keras_detr.ops.masks.segmentation import instance_masks
from keras_detr.ops.processes import gather

logger = logging.getLogger("keras_detr")

_BOTH_KINDS = (
    "All batches must have 'masks' in their 'bounding_boxes', or none. Received both kinds."
)


class MaskSizes(NamedTuple):
    """Hold the sizes (height, width) of a batch's images.

    Attributes:
        canvas: pair of int, with padding.
        seen: int (batch, 2), without padding.
        original: int (batch, 2).
    """

    canvas: tuple
    seen: np.ndarray
    original: np.ndarray


class MaskScores:
    """Update `COCOMaskMetrics` with batches, if the model has masks and they have.

    Args:
        model: detector, which may have `has_masks`.
        metrics: `COCOMaskMetrics`, or None to create one for a model with masks.

    Raises:
        ValueError: there are `metrics`, and the model has no masks.
    """

    def __init__(self, model, metrics=None):
        has_masks = getattr(model, "has_masks", False)
        if metrics is not None and not has_masks:
            raise ValueError(
                "`mask_metrics` are for models with masks, such as `DETRSegmenter`. Received them "
                f"for a {type(model).__name__}: leave them out."
            )
        if metrics is None and has_masks:
            names = getattr(model, "class_names", None)
            metrics = COCOMaskMetrics(num_classes=model.num_classes, class_names=names)
        self.metrics = metrics
        self._is_told = False
        self._are_in_batches = None

    def reset(self):
        """Forget all images, but not what was logged."""
        self._are_in_batches = None
        if self.metrics is not None:
            self.metrics.reset_state()

    def are_in(self, bounding_boxes):
        """Return whether the masks of a batch are scored; those of all batches are, or of none.

        Raises:
            ValueError: this batch has masks and the first had none, or the other way round.
        """
        if self.metrics is None:
            return False
        has_masks = isinstance(bounding_boxes, dict) and bounding_boxes.get("masks") is not None
        if self._are_in_batches is None:
            self._are_in_batches = has_masks
        if has_masks != self._are_in_batches:
            raise ValueError(_BOTH_KINDS)
        if not has_masks and not self._is_told:
            self._is_told = True
            logger.warning(
                "Only boxes are evaluated, though the model predicts masks: 'bounding_boxes' of "
                "the batches have no 'masks'. Load them with `masks=True`."
            )
        return has_masks

    def agree(self):
        """Find out whether masks are scored in a process that had no batch; all processes call it.

        Raises:
            ValueError: the batches of some processes have masks, and those of others haven't.
        """
        kinds = {kind for kind in gather(self._are_in_batches) if kind is not None}
        if len(kinds) > 1:
            raise ValueError(_BOTH_KINDS)
        self._are_in_batches = kinds.pop() if kinds else None

    def update(self, truth, detections, sizes):
        """Add a batch with masks.

        Args:
            truth: dict of "masks", bool (batch, N, height, width) of the canvas, "classes" and
                perhaps "area" (pixels of the original image) and "is_crowd".
            detections: dict of "mask_logits", "classes", "confidence" and perhaps
                "num_detections".
            sizes: `MaskSizes`.

        Returns:
            As `encoded_masks`, of the size at which masks are compared.
        """
        compared = np.minimum(sizes.seen, sizes.original)
        true_masks = [
            _encoded(_resized_truth(truth, index, seen, size), truth["classes"][index] >= 0)
            for index, (seen, size) in enumerate(zip(sizes.seen, compared, strict=True))
        ]
        masks = encoded_masks(detections, sizes, compared)
        self.metrics.update_state(
            {**_only(truth, "classes", "area", "is_crowd"), "masks": true_masks},
            {**_only(detections, "classes", "confidence", "num_detections"), "masks": masks},
            image_sizes=sizes.original,
        )
        return masks

    def result(self):
        """Return the figures as "mask_AP" and so on, none if no masks were scored."""
        if not self._are_in_batches:
            return {}
        return {f"{MASK_PREFIX}{name}": value for name, value in self.metrics.result().items()}

    def result_per_class(self):
        """Return each class's AP, or None if no masks were scored."""
        return self.metrics.result_per_class() if self._are_in_batches else None


def encoded_masks(detections, sizes, image_sizes):
    """Return the masks of a batch's detections, encoded.

    Args:
        detections: dict of "mask_logits" (batch, K, height, width), "classes" (batch, K) and
            perhaps "num_detections" (batch,).
        sizes: `MaskSizes`.
        image_sizes: int (batch, 2), which sizes the masks are to have.

    Returns:
        list with a list of K for each image: dict, see `encode_masks`, or None for padding.
    """
    found = []
    for index, logits in enumerate(detections["mask_logits"]):
        is_real = detections["classes"][index] >= 0
        if "num_detections" in detections:
            is_real &= np.arange(len(is_real)) < detections["num_detections"][index]
        one_size = {
            "canvas_size": sizes.canvas,
            "unpadded_size": sizes.seen[index],
            "image_size": image_sizes[index],
        }
        # One at a time: all those of a large photo take gigabytes.
        masks = (
            instance_masks(logits[[place]], **one_size)[0] for place in np.flatnonzero(is_real)
        )
        found.append(_encoded(masks, is_real))
    return found


def masks_of_originals(compared_masks, detections, sizes):
    """Return the masks of a batch's detections at the size of the original images.

    Args:
        compared_masks: list, what `MaskScores.update` returned.
        detections: as in `encoded_masks`.
        sizes: `MaskSizes`.
    """
    if np.all(sizes.original <= sizes.seen):
        return compared_masks
    return encoded_masks(detections, sizes, sizes.original)


def _resized_truth(truth, index, size, new_size):
    """Yield the masks of an image's real objects, of a new size."""
    rows, columns = (nearest_pixels(*sides, CENTER) for sides in zip(size, new_size, strict=True))
    for place in np.flatnonzero(truth["classes"][index] >= 0):
        yield truth["masks"][index, place][rows[:, None], columns]


def _encoded(masks, is_real):
    """Return encoded masks in the places of real objects, and None in the others."""
    encoded = iter(encode_masks(masks))
    return [next(encoded) if is_one else None for is_one in is_real]


def _only(objects, *names):
    return {name: objects[name] for name in names if name in objects}
