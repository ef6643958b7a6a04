"""Draw the objects of one image."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_detr.visualization.drawn_objects import drawn_objects, unpadded_image
from keras_detr.visualization.panels import Panel, draw_panels


def plot_detections(
    image: Any,
    detections: dict[str, Any],
    bounding_box_format: str,
    class_names: Sequence[str] | None = None,
    *,
    confidence_threshold: float = 0.5,
    pixel_mask: Any = None,
    title: str = "Predictions",
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw the detections, or the true objects, of one image.

    Args:
        image: (height, width, 3), values 0..255.
        detections: dict of "boxes" (objects, 4) and "classes" (objects,), -1 for padding, and for
            detections "confidence" (objects,); "num_detections" if the rest is padding. With
            "masks", bool (objects, height, width) or encoded ones of
            `keras_detr.inference.encode_masks`, or "mask_logits" (objects, any height, any width),
            as `predict` returns them, masks are drawn too; only one is made dense at a time.
        bounding_box_format: str, one of `keras_detr.ops.boxes.BOX_FORMATS`. Relative formats mean
            fractions of the unpadded image.
        class_names: sequence of str, one a class, or `None`.
        confidence_threshold: float, less confident detections aren't drawn.
        pixel_mask: (height, width), 1 on the image and 0 on padding, which isn't drawn; or `None`.
        title: str, above the image.
        path: where to write the picture, a PNG; or `None`.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: a shape is wrong, the format is missing or unknown, or a class has no name;
            masks have another size than the image, or aren't one an object.

    Example:
        ```python
        from keras_detr.visualization import plot_detections

        image = np.zeros((60, 80, 3), "uint8")
        boxes = np.array([[10, 8, 40, 28]])
        found = {"boxes": boxes, "classes": np.array([0]), "confidence": np.array([0.9])}
        plot_detections(image, found, "xyxy", ["cat"], path="found.png")
        ```
    """
    panel = objects_panel(
        image, pixel_mask, detections, bounding_box_format, class_names, confidence_threshold, title
    )
    return draw_panels([panel], path)


def objects_panel(
    image,
    pixel_mask,
    objects,
    bounding_box_format,
    class_names=None,
    confidence_threshold=0.0,
    title="",
):
    """Return the panel of an image without its padding, with a title that counts its objects.

    An empty title is the size of the image.
    """
    canvas_size = np.shape(image)[:2]
    image = unpadded_image(image, pixel_mask)
    drawn = drawn_objects(
        objects,
        bounding_box_format,
        image.shape[:2],
        class_names,
        confidence_threshold,
        canvas_size,
    )
    count = "1 object" if len(drawn) == 1 else f"{len(drawn) or 'no'} objects"
    if "confidence" in objects and confidence_threshold > 0:
        count = f"{count}, confidence at least {confidence_threshold:g}"
    return Panel(image, drawn, title or f"{image.shape[1]} x {image.shape[0]}", count)
