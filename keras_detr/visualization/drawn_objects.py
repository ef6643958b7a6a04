"""Convert arrays of boxes to the objects that are drawn."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keras_detr.batches.class_names import check_class_names
from keras_detr.batches.image_sizes import unpadded_sizes
from keras_detr.ops.boxes import check_box_format, convert_box_format
from keras_detr.visualization.drawn_masks import masks_of_objects


class DrawnObject(NamedTuple):
    """Hold one object to draw; its box is in pixels of the unpadded image.

    `mask` makes its mask dense, bool (height, width) of the unpadded image; `None` without masks.
    """

    box_xyxy: tuple[float, float, float, float]
    class_id: int
    label: str
    mask: Callable[[], np.ndarray] | None = None


class DrawnSegment(NamedTuple):
    """Hold one segment to draw; `mask` makes its mask dense, bool (height, width)."""

    class_id: int
    label: str
    is_thing: bool
    mask: Callable[[], np.ndarray]


def unpadded_image(image, pixel_mask=None):
    """Return an image (height, width, 3) as uint8, clipped to 0..255, without its padding.

    Raises:
        ValueError: a shape is wrong, or the mask has no image in it.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(
            "An image must be of shape (height, width, 3), values 0..255. Received shape: "
            f"{image.shape}."
        )
    if pixel_mask is not None:
        pixel_mask = np.asarray(pixel_mask).astype(bool)
        if pixel_mask.shape != image.shape[:2] or not pixel_mask[:1, :1].any():
            raise ValueError(
                f"`pixel_mask` must be of the shape {image.shape[:2]} of its image, with 1 where "
                f"the image is. Received shape {pixel_mask.shape} with {pixel_mask.sum()} ones."
            )
        (height,), (width,) = unpadded_sizes(image[None], pixel_mask[None])
        image = image[:height, :width]
    if image.dtype == np.uint8:
        # Floats of a large photograph would take gigabytes.
        return image
    return np.clip(np.nan_to_num(image.astype("float32")), 0, 255).round().astype("uint8")


def drawn_targets(parts, max_images=None):
    """Return what is drawn of the true objects of a batch, a dict of arrays (batch, objects, ...).

    Args:
        parts: `BatchParts` of `numpy_parts`.
        max_images: int, the first images of the batch, `None` for all.
    """
    targets = {"boxes": parts.boxes, "classes": parts.classes}
    if "masks" in parts.entries:
        targets["masks"] = parts.entries["masks"]
    return {name: values[:max_images] for name, values in targets.items()}


def drawn_objects(
    boxes,
    bounding_box_format,
    image_size,
    class_names=None,
    confidence_threshold=0.0,
    canvas_size=None,
):
    """Return a list of `DrawnObject`, the least confident first, to be drawn in this order.

    Args:
        boxes: dict, the `detections` of `keras_detr.visualization.plot_detections`.
        image_size: pair (height, width) of the unpadded image.
        canvas_size: pair (height, width) of the padded image; `None` for an unpadded one.

    Other arguments are those of `plot_detections`.

    Raises:
        ValueError: a shape is wrong, the format is missing or unknown, or a class has no name;
            masks have another size than the image, or aren't one an object.
    """
    check_box_format(bounding_box_format)
    class_names = check_class_names(class_names)
    classes = np.asarray(boxes["classes"]).astype("int64")
    corners = np.asarray(boxes["boxes"], dtype="float64")
    if classes.ndim != 1 or corners.shape != (len(classes), 4):
        raise ValueError(
            '"boxes" must be of shape (objects, 4) and "classes" of shape (objects,). Received '
            f"shapes: {corners.shape} and {classes.shape}."
        )
    corners = convert_box_format(corners, bounding_box_format, "xyxy", image_size, stack=np.stack)
    confidence = boxes.get("confidence")
    scores = np.ones(len(classes)) if confidence is None else np.asarray(confidence, "float64")
    is_drawn = (classes >= 0) & (scores >= confidence_threshold) & np.isfinite(corners).all(-1)
    is_drawn &= np.arange(len(classes)) < boxes.get("num_detections", len(classes))
    # Large boxes first, so that they don't cover small ones.
    areas = np.prod(corners[:, 2:] - corners[:, :2], axis=-1)
    order = np.lexsort((-areas, scores))
    places = [int(i) for i in order if is_drawn[i]]
    masks = masks_of_objects(boxes, places, canvas_size or image_size, image_size)
    return [
        DrawnObject(
            box_xyxy=tuple(float(value) for value in corners[i]),
            class_id=int(classes[i]),
            label=class_name(classes[i], class_names)
            + ("" if confidence is None else f" {scores[i]:.2f}"),
            mask=mask,
        )
        for i, mask in zip(places, masks, strict=True)
    ]


def class_name(class_id, class_names=None):
    """Return the name of a class, "class 0" where there are no names.

    Raises:
        ValueError: there are names, and none for this class.
    """
    if class_names is None:
        return f"class {class_id}"
    if class_id >= len(class_names):
        raise ValueError(
            f"`class_names` has {len(class_names)} names, and there is an object of class "
            f"{class_id}. Pass a name for every class."
        )
    return class_names[class_id]
