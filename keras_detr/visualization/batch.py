"""Draw a training batch."""

import os
from collections.abc import Sequence
from typing import Any

from keras_detr.batches.arrays import numpy_parts
from keras_detr.batches.carried_format import check_carried_format
from keras_detr.batches.structure import batch_parts
from keras_detr.visualization.detections import objects_panel
from keras_detr.visualization.drawn_objects import unpadded_image
from keras_detr.visualization.panels import draw_panels


def plot_batch(
    batch: Any,
    bounding_box_format: str,
    class_names: Sequence[str] | None = None,
    *,
    max_images: int = 12,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw the images of a training batch with their true objects.

    Draw one before training: boxes that are shifted, mirrored or in the wrong class are obvious.

    Args:
        batch: dict of "images" (batch, height, width, 3), values 0..255, "bounding_boxes", and
            optionally "pixel_mask" (batch, height, width), 1 on the image and 0 on padding, which
            isn't drawn; or a pair of inputs (images, or a dict of images and mask) and bounding
            boxes. These are a dict of "boxes" (batch, objects, 4) and "classes" (batch, objects),
            -1 for padding, or ragged. `next(iter(dataset))` is one of a `tf.data.Dataset`.
        bounding_box_format: str, one of `keras_detr.ops.boxes.BOX_FORMATS`. Relative formats mean
            fractions of the unpadded image.
        class_names: sequence of str, one a class, or `None`.
        max_images: int, the most images of the batch that are drawn.
        path: where to write the picture, a PNG; or `None`.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: the batch has no images or no boxes, or carries another format; a shape is
            wrong, the format is missing or unknown, or a class has no name.

    Example:
        ```python
        from keras_detr.visualization import plot_batch

        plot_batch(next(iter(train_batches)), "xyxy", ["cat", "dog"], path="batch.png")
        ```
    """
    if max_images < 1:
        raise ValueError(f"`max_images` must be at least 1. Received: {max_images}.")
    images, pixel_mask, boxes, classes, _, carried_format, _ = numpy_parts(batch_parts(batch))
    check_carried_format(carried_format, bounding_box_format, "plot_batch")
    panels = []
    for i in range(min(len(images), max_images)):
        image = unpadded_image(images[i], None if pixel_mask is None else pixel_mask[i])
        objects = {"boxes": boxes[i], "classes": classes[i]}
        title = f"{image.shape[1]} x {image.shape[0]}"
        panels.append(objects_panel(image, objects, bounding_box_format, class_names, title=title))
    return draw_panels(panels, path)
