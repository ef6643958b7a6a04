"""Parse a batch: which structures and keys it may have. Python only: no array is read."""

from typing import Any, NamedTuple

from keras_detr.batches.carried_format import FORMAT_ENTRY
from keras_detr.batches.row_entries import row_entries
from keras_detr.batches.shapes import (
    ONE_ARRAY_ADVICE,
    check_box_shapes,
    check_images_and_mask,
    described,
    shape_of,
)


class BatchParts(NamedTuple):
    """Hold what a training step needs of a batch.

    Attributes:
        images: (batch, height, width, 3).
        pixel_mask: (batch, height, width), 1 image and 0 padding; None where nothing is padded.
        boxes: (batch, N, 4).
        classes: (batch, N), 0-based, -1 for padding.
        image_ids: (batch,), by which messages name images; None where they have none.
        carried_format: the format of the boxes that the batch carries along, see
            `check_carried_format`; None where it carries none.
        entries: dict from `row_entries`, with one row a box.

    Example:
        ```python
        import numpy as np
        from keras_detr.batches import batch_parts

        images = np.zeros((1, 32, 32, 3), "uint8")
        boxes = {"boxes": np.zeros((1, 2, 4), "float32"), "classes": np.zeros((1, 2), "int32")}
        parts = batch_parts({"images": images, "bounding_boxes": boxes})
        print(parts.boxes.shape, parts.pixel_mask)  # (1, 2, 4) None
        ```
    """

    images: Any
    pixel_mask: Any
    boxes: Any
    classes: Any
    image_ids: Any
    carried_format: Any
    entries: Any


def batch_parts(batch: Any, has_masks: bool = False) -> BatchParts:
    """Find images, mask, boxes and classes in a training batch.

    Args:
        batch: dict with "images", "bounding_boxes" and perhaps "pixel_mask", "image_id" and
            "bounding_box_format", or a tuple (x, bounding_boxes) where x is images or a dict of
            them. Further keys are left aside, except those of `row_entries`.
        has_masks: bool, whether there must be masks.

    Raises:
        ValueError: something is missing, there are sample weights, or `check_images_and_mask`
            raises.

    Example:
        ```python
        import numpy as np
        from keras_detr.batches import batch_parts

        images = np.zeros((1, 32, 32, 3), "uint8")
        boxes = {"boxes": np.zeros((1, 2, 4), "float32"), "classes": np.zeros((1, 2), "int32")}
        assert batch_parts((images, boxes)).classes is boxes["classes"]
        ```
    """
    x, bounding_boxes = training_pair(batch)
    images, pixel_mask, image_ids = input_parts(x)
    check_bounding_boxes(bounding_boxes, has_masks=has_masks)
    boxes, classes = bounding_boxes["boxes"], bounding_boxes["classes"]
    carried_format = x.get(FORMAT_ENTRY) if isinstance(x, dict) else None
    entries = row_entries(bounding_boxes)
    return BatchParts(images, pixel_mask, boxes, classes, image_ids, carried_format, entries)


def training_pair(batch):
    """Return a batch as `batch_pair` does, with bounding boxes or else a ValueError."""
    x, bounding_boxes = batch_pair(batch)
    if bounding_boxes is None:
        raise ValueError(
            "Targets are missing: a training batch needs 'bounding_boxes' beside 'images'. Pass a "
            "dict with both, or images and `y={'boxes': ..., 'classes': ...}`. Received: "
            f"{described(batch)}."
        )
    return x, bounding_boxes


def batch_pair(batch):
    """Return a batch as a pair of inputs and bounding boxes, or `None` where there are none.

    Args:
        batch: as in `batch_parts`, or inputs alone.

    Raises:
        ValueError: it is none of these, or there are sample weights.
    """
    if isinstance(batch, dict):
        return batch, batch.get("bounding_boxes")
    if not isinstance(batch, (tuple, list)):
        return batch, None
    x, bounding_boxes, *rest = [*batch, None, None]  # type: ignore[misc]
    is_pair = 1 <= len(batch) <= 3 and (bounding_boxes is None or isinstance(bounding_boxes, dict))
    if not is_pair:
        raise ValueError(
            "A batch must be a dict with 'images' and perhaps 'bounding_boxes', or a pair of "
            "images and a dict with 'boxes' and 'classes'. Received: "
            f"{described(batch)}. {ONE_ARRAY_ADVICE}"
        )
    if any(entry is not None for entry in rest):
        raise ValueError(
            "`sample_weight`, a batch's third entry, must be left out: sample weights aren't "
            "supported, because the loss weighs by class and by box."
        )
    return x, bounding_boxes


def input_parts(x):
    """Return images, pixel mask and images' ids of a model's input, `None` for what isn't there.

    Args:
        x: images, or a dict of "images" and perhaps "pixel_mask" and "image_id".

    Raises:
        ValueError: a dict has no images, or `check_images_and_mask` raises.
    """
    images, pixel_mask, image_ids = x, None, None
    if isinstance(x, dict):
        if "images" not in x:
            raise ValueError(
                "Inputs given as a dict must have the key 'images' (and may have 'pixel_mask'). "
                f"Received the keys: {sorted(x, key=str)}."
            )
        images, pixel_mask, image_ids = x["images"], x.get("pixel_mask"), x.get("image_id")
    check_images_and_mask(images, pixel_mask)
    return images, pixel_mask, image_ids


def repeats_forever(data):
    """Return whether data are a `tf.data.Dataset` without end."""
    cardinality = getattr(data, "cardinality", None)
    # tf.data's number for it.
    return callable(cardinality) and int(cardinality()) == -1


def check_element(element):
    """Check the structure of one image with its boxes, or of a batch of them, before padding.

    Args:
        element: should be a dict of "images" (height, width, 3) or (batch, height, width, 3), and
            perhaps "bounding_boxes"; dense or ragged arrays.

    Raises:
        ValueError: it is something else, or padded already.
    """
    if not isinstance(element, dict) or "images" not in element:
        raise ValueError(
            "Images and boxes must come as a dict with the key 'images' (and 'bounding_boxes'). "
            f"Received: {described(element)}."
        )
    shape = shape_of(element["images"], 3)
    sizes = (4,) if hasattr(element["images"], "row_splits") else (3, 4)
    if shape is None or len(shape) not in sizes:
        raise ValueError(
            "`images` must be one image (height, width, 3), or a batch of images (batch, "
            f"height, width, 3), dense or ragged. Received: {described(element['images'])}."
        )
    if "pixel_mask" in element:
        raise ValueError(
            "`images` must not be padded yet, and there is a 'pixel_mask'. Make `PadToCanvas` the "
            "last layer of the pipeline."
        )
    if "bounding_boxes" in element:
        boxes = element["bounding_boxes"]
        check_bounding_boxes(boxes)
        check_box_shapes(boxes["boxes"], boxes["classes"], shape[:-3])


def target_entries(has_masks):
    """Return the names of what a detector, with masks or without, reads of bounding boxes."""
    return ("boxes", "classes", "masks") if has_masks else ("boxes", "classes")


def check_bounding_boxes(bounding_boxes, argument="bounding_boxes", has_masks=False):
    """Check that there are boxes and classes, and masks where a model needs them.

    Args:
        bounding_boxes: should be a dict of "boxes" and "classes", and perhaps "masks".
        argument: str, the name of the caller's argument, for the error.
        has_masks: bool, whether masks are needed.

    Raises:
        ValueError: it is no dict with all of them.
    """
    if isinstance(bounding_boxes, dict) and {"boxes", "classes"} <= set(bounding_boxes):
        if has_masks and bounding_boxes.get("masks") is None:
            raise ValueError(
                f"`{argument}` must have 'masks' too, bool (N, height, width) for each image: the "
                "model predicts masks. Load them with `load_coco_json(..., masks=True)`, or train "
                f"`keras_detr.DETR` on boxes alone. Received: {described(bounding_boxes)}."
            )
        return
    has_labels = isinstance(bounding_boxes, dict) and "labels" in bounding_boxes
    raise ValueError(
        f"`{argument}` must be a dict with 'boxes' and 'classes', (N, 4) and (N,) for each image. "
        f"Received: {described(bounding_boxes)}."
        + (" Rename 'labels' to 'classes'." if has_labels else "")
    )
