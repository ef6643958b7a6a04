"""Turn the mask logits of an image into the masks of its objects, or into a panoptic map."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_detr.ops.masks.mask_sampling import (
    CENTER,
    FIRST_CORNER,
    axes_of,
    check_sizes,
    checked_logits,
    sample,
)
from keras_detr.ops.numpy_arrays import to_numpy


def instance_masks(
    mask_logits: Any,
    *,
    canvas_size: Any,
    unpadded_size: Any,
    image_size: Any,
    mask_threshold: float = 0.5,
) -> np.ndarray:
    """Return the mask of each object of an image, at the image's original size.

    Logits are interpolated to the canvas, bilinearly; the padding is cut off; and each pixel of the
    original image takes the nearest of the pixels that are left. Masks may overlap.

    Args:
        mask_logits: float (objects, height, width), of one image, at any fraction of the size of
            the canvas, such as a quarter.
        canvas_size: pair of int (height, width), the image with its padding, as the model saw it.
        unpadded_size: pair of int (height, width), the image without padding, which lies at the top
            left of the canvas.
        image_size: pair of int (height, width), the original image.
        mask_threshold: float in 0..1. Where the probability is above it, the object is.

    Returns:
        bool (objects, image height, image width). `encode_masks` makes it small.

    Raises:
        ValueError: logits have another shape or aren't finite, a size isn't two positive integers,
            the image is larger than the canvas, or the threshold isn't in 0..1.

    Example:
        ```python
        from keras_detr.inference import instance_masks

        logits = np.full((1, 8, 8), -5.0, "float32")
        logits[0, :, :2] = 5.0
        masks = instance_masks(
            logits, canvas_size=(32, 32), unpadded_size=(24, 32), image_size=(48, 64)
        )
        print(masks.shape, masks.mean())  # (1, 48, 64) 0.25
        ```

    Source: models/segmentation.py of the original, `PostProcessSegm`.
    """
    _check_share("mask_threshold", mask_threshold)
    logits = checked_logits(mask_logits)
    sizes = check_sizes(canvas_size, unpadded_size, image_size)
    axes = axes_of(logits.shape[1:], sizes, FIRST_CORNER)
    least = _logit(mask_threshold)
    masks = np.empty((len(logits), *sizes[-1]), bool)
    for mask, logits_of_object in zip(masks, logits, strict=True):
        np.greater(sample(logits_of_object, axes), least, out=mask)
    return masks


def panoptic_segments(
    mask_logits: Any,
    classes: Any,
    confidence: Any,
    *,
    is_thing: Sequence[bool],
    canvas_size: Any,
    unpadded_size: Any,
    image_size: Any,
    confidence_threshold: float = 0.85,
    fewest_pixels: int = 5,
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Divide an image among its objects: each pixel belongs to one segment, or to none.

    A pixel goes to the object of the highest logit there. Objects of one class of stuff, such as
    two parts of the sky, make one segment. Segments that are too small are left out, and their
    pixels go to the others.

    The original gives the pixels of a class of stuff, but for those of its first object, to
    whatever object comes next there. Here they stay with the class, as the paper says.

    Args:
        mask_logits: float (objects, height, width), as `instance_masks` takes them.
        classes: int (objects,), -1 for padding.
        confidence: float (objects,), in 0..1.
        is_thing: sequence of bool, for each class whether it is a thing, which can be counted, or
            stuff, which can't.
        canvas_size: pair of int (height, width), the image with its padding, as the model saw it.
        unpadded_size: pair of int (height, width), the image without padding, which lies at the top
            left of the canvas.
        image_size: pair of int (height, width), the original image.
        confidence_threshold: float in 0..1. Objects of this confidence or a lower one are left out.
        fewest_pixels: int, segments of fewer pixels of the original image are left out.

    Returns:
        pair of int32 (image height, image width), the id of each pixel's segment, 0 everywhere if
        there is none; and a list of dict, one a segment: "id" (int, from 1 on), "class" (int),
        "is_thing" (bool), "confidence" (float; of merged objects the highest) and "area" (int,
        pixels).

    Raises:
        ValueError: an argument of `instance_masks` is wrong, there isn't one class and one
            confidence for each object, a class isn't in `is_thing`, or a setting is impossible.

    Example:
        ```python
        from keras_detr.inference import panoptic_segments

        logits = np.zeros((2, 8, 8), "float32")
        logits[0, :, :2] = 5.0
        segment_map, segments = panoptic_segments(
            logits,
            classes=[0, 1],
            confidence=[0.9, 0.95],
            is_thing=[True, False],
            canvas_size=(32, 32),
            unpadded_size=(32, 32),
            image_size=(32, 32),
            confidence_threshold=0.5,
        )
        for segment in segments:
            print(segment["class"], segment["area"], (segment_map == segment["id"]).sum())
        ```

    Source: Carion et al. 2020, section 4.4; models/segmentation.py of the original,
    `PostProcessPanoptic`.
    """
    _check_share("confidence_threshold", confidence_threshold)
    if isinstance(fewest_pixels, bool) or not isinstance(fewest_pixels, int) or fewest_pixels < 1:
        raise ValueError(
            f"`fewest_pixels` must be an integer of at least 1. Received: {fewest_pixels!r}."
        )
    logits = checked_logits(mask_logits)
    sizes = check_sizes(canvas_size, unpadded_size, image_size)
    classes, confidence = _of_objects(classes, confidence, len(logits))
    is_thing = _checked_kinds(is_thing, classes)
    axes = axes_of(logits.shape[1:], sizes, CENTER)
    is_kept = (classes >= 0) & (confidence > np.float32(confidence_threshold))
    groups = _groups(np.flatnonzero(is_kept), classes, is_thing)
    segment_map, areas = _divided(logits, groups, axes, sizes[-1])
    # What is left out makes room for others, which may so become large enough, but no smaller.
    while np.any((areas > 0) & (areas < fewest_pixels)):
        groups = [group for group, area in zip(groups, areas, strict=True) if area >= fewest_pixels]
        segment_map, areas = _divided(logits, groups, axes, sizes[-1])
    is_seen = areas > 0
    new_ids = np.concatenate([[0], np.where(is_seen, np.cumsum(is_seen), 0)]).astype(np.int32)
    seen = [(g, area) for g, area in zip(groups, areas.tolist(), strict=True) if area]
    segments = [
        {
            "id": number,
            "class": int(classes[group[0]]),
            "is_thing": bool(is_thing[classes[group[0]]]),
            "confidence": float(confidence[group].max()),
            "area": area,
        }
        for number, (group, area) in enumerate(seen, start=1)
    ]
    return new_ids[segment_map], segments


def _groups(kept, classes, is_thing):
    """Return the objects of each segment, as a list of lists, by the first object of each."""
    groups = {}
    for place in kept.tolist():
        label = classes[place]
        groups.setdefault(("thing", place) if is_thing[label] else ("stuff", label), []).append(
            place
        )
    return list(groups.values())


def _divided(logits, groups, axes, image_size):
    """Return int32 (height, width), the number of each pixel's group from 1 on, and their areas."""
    highest = np.full(image_size, -np.inf, np.float32)
    segment_map = np.zeros(image_size, np.int32)
    for number, group in enumerate(groups, start=1):
        for place in group:
            found = sample(logits[place], axes)
            is_higher = found > highest
            np.copyto(highest, found, where=is_higher)
            segment_map[is_higher] = number
    return segment_map, np.bincount(segment_map.ravel(), minlength=len(groups) + 1)[1:]


def _of_objects(classes, confidence, num_objects):
    classes, confidence = to_numpy(classes), to_numpy(confidence)
    shapes = {"classes": classes.shape, "confidence": confidence.shape}
    if set(shapes.values()) != {(num_objects,)}:
        raise ValueError(
            f"`mask_logits` has {num_objects} objects, so `classes` and `confidence` must have the "
            f"shape ({num_objects},). Received the shapes: {shapes}."
        )
    confidence = confidence.astype(np.float32)
    if not np.isfinite(confidence).all():
        raise ValueError("`confidence` must be finite. Received NaN or infinity.")
    return classes.astype(np.int64), confidence


def _checked_kinds(is_thing, classes):
    kinds = np.asarray(is_thing)
    if kinds.ndim != 1 or kinds.dtype != bool:
        raise ValueError(
            "`is_thing` must be a list with True or False for each class. Received: "
            f"{kinds.dtype} of the shape {kinds.shape}."
        )
    if classes.size and classes.max() >= len(kinds):
        raise ValueError(
            f"`classes` must be below {len(kinds)}, the length of `is_thing`. Received: "
            f"{classes.max()}."
        )
    return kinds


def _logit(probability):
    if probability in (0, 1):
        return -math.inf if probability == 0 else math.inf
    return math.log(probability / (1 - probability))


def _check_share(argument, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"`{argument}` must be a number in 0..1. Received: {value!r}.")
