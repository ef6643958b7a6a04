"""Draw a training batch."""

import os
from collections.abc import Sequence
from typing import Any

from keras_detr.batches.arrays import numpy_parts
from keras_detr.batches.carried_format import check_carried_format
from keras_detr.batches.structure import batch_parts
from keras_detr.visualization.detections import objects_panel
from keras_detr.visualization.drawn_objects import drawn_targets
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
            -1 for padding, or ragged, and perhaps "masks" (batch, objects, height, width), which
            are drawn too. `next(iter(dataset))` is one of a `tf.data.Dataset`.
        bounding_box_format: str, one of `keras_detr.ops.boxes.BOX_FORMATS`. Relative formats mean
            fractions of the unpadded image.
        class_names: sequence of str, one a class, or `None`.
        max_images: int, the most images of the batch that are drawn.
        path: where to write the picture, a PNG; or `None`.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: the batch has no images or no boxes, or carries another format; a shape is
            wrong, the format is missing or unknown, a class has no name, or masks have another size
            than the images.

    Example:
        ```python
        from keras_detr.visualization import plot_batch

        plot_batch(next(iter(train_batches)), "xyxy", ["cat", "dog"], path="batch.png")
        ```
    """
    if max_images < 1:
        raise ValueError(f"`max_images` must be at least 1. Received: {max_images}.")
    parts = numpy_parts(batch_parts(batch))
    check_carried_format(parts.carried_format, bounding_box_format, "plot_batch")
    panels = []
    targets = drawn_targets(parts)
    for i in range(min(len(parts.images), max_images)):
        mask = None if parts.pixel_mask is None else parts.pixel_mask[i]
        objects = {name: values[i] for name, values in targets.items()}
        panels.append(
            objects_panel(parts.images[i], mask, objects, bounding_box_format, class_names)
        )
    return draw_panels(panels, path)
