"""The structures a training batch may come in. Python only: no array library is touched."""

from typing import Any, NamedTuple


class BatchParts(NamedTuple):
    """Hold what a training step needs of a batch.

    Attributes:
        images: (batch, height, width, 3).
        pixel_mask: (batch, height, width), 1 image and 0 padding; None where nothing is padded.
        boxes: (batch, N, 4).
        classes: (batch, N), 0-based, -1 for padding.
        image_ids: (batch,), by which messages name images; None where they don't come.
    """

    images: Any
    pixel_mask: Any
    boxes: Any
    classes: Any
    image_ids: Any


def batch_parts(batch):
    """Find images, mask, boxes and classes in a batch.

    Args:
        batch: dict with "images", "bounding_boxes" and perhaps "pixel_mask" and "image_id", or a
            tuple (x, bounding_boxes) where x is images or a dict of them. Further keys are left
            aside.

    Raises:
        ValueError: something is missing, or there are sample weights.
    """
    if isinstance(batch, dict):
        if "bounding_boxes" not in batch:
            raise ValueError(
                "A training batch needs the key 'bounding_boxes' beside 'images'. "
                f"Received the keys {sorted(batch)}."
            )
        return x_and_box_parts(batch, batch["bounding_boxes"])
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        raise ValueError(
            "A training batch is a dict with 'images' and 'bounding_boxes', or a tuple "
            f"(images, bounding_boxes). Received: {type(batch).__name__}"
            + (f" of {len(batch)} entries." if isinstance(batch, (tuple, list)) else ".")
        )
    if len(batch) == 3 and batch[2] is not None:
        raise ValueError(
            "`sample_weight`, a batch's third entry, isn't supported: the loss weighs by class "
            "and by box. Leave it out: (images, bounding_boxes)."
        )
    return x_and_box_parts(batch[0], batch[1])


def x_and_box_parts(x, bounding_boxes):
    """Find images, mask, boxes and classes in a model's input and its boxes.

    Args:
        x: images, or a dict of "images" and perhaps "pixel_mask" and "image_id".
        bounding_boxes: dict of "boxes" and "classes".

    Raises:
        ValueError: something is missing.
    """
    if isinstance(x, dict):
        if "images" not in x:
            raise ValueError(f"`x` needs the key 'images'. Received the keys {sorted(x)}.")
        images, pixel_mask, image_ids = x["images"], x.get("pixel_mask"), x.get("image_id")
    else:
        images, pixel_mask, image_ids = x, None, None
    if not isinstance(bounding_boxes, dict) or not {"boxes", "classes"} <= set(bounding_boxes):
        is_dict = isinstance(bounding_boxes, dict)
        hint = ""
        if is_dict and "labels" in bounding_boxes:
            hint = " Rename 'labels' to 'classes'."
        raise ValueError(
            "`bounding_boxes` must be a dict with 'boxes' (batch, N, 4) and 'classes' (batch, N). "
            f"Received: {sorted(bounding_boxes) if is_dict else type(bounding_boxes).__name__}."
            + hint
        )
    boxes, classes = bounding_boxes["boxes"], bounding_boxes["classes"]
    return BatchParts(images, pixel_mask, boxes, classes, image_ids)
