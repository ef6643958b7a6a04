"""Draw predictions beside the ground truth."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_detr.visualization.detections import objects_panel
from keras_detr.visualization.panels import draw_panels

_TALLEST = 6


def plot_comparison(
    images: Any,
    y_true: dict[str, Any],
    y_pred: dict[str, Any],
    bounding_box_format: str,
    class_names: Sequence[str] | None = None,
    *,
    confidence_threshold: float = 0.5,
    pixel_mask: Any = None,
    max_images: int = 6,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw each image twice, with its true objects on the left and the detections on the right.

    Args:
        images: (batch, height, width, 3), values 0..255.
        y_true: dict of "boxes" (batch, objects, 4) and "classes" (batch, objects), -1 for padding.
        y_pred: dict of "boxes" (batch, detections, 4), "classes" and "confidence" (batch,
            detections), and "num_detections" (batch,), as `predict` returns it. Masks of either
            are drawn too, "masks" or "mask_logits" as in `plot_detections`, for each image.
        bounding_box_format: str, of both, one of `keras_detr.ops.boxes.BOX_FORMATS`. Relative
            formats mean fractions of the unpadded image.
        class_names: sequence of str, one a class, or `None`.
        confidence_threshold: float, less confident detections aren't drawn.
        pixel_mask: (batch, height, width), 1 on the image and 0 on padding, which isn't drawn; or
            `None`.
        max_images: int, the most images of the batch that are drawn.
        path: where to write the picture, a PNG; or `None`.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: a shape is wrong, the batch sizes differ, the format is missing or unknown, a
            class has no name, or masks have another size than the images.

    Example:
        ```python
        from keras_detr.visualization import plot_comparison

        batch = next(iter(valid_batches))
        detections = model.predict(batch, verbose=0)
        truth = batch["bounding_boxes"]
        plot_comparison(batch["images"], truth, detections, "xyxy", path="both.png")
        ```
    """
    images = np.asarray(images)
    if images.ndim != 4 or not len(images) or max_images < 1:
        raise ValueError(
            "`images` must be of shape (batch, height, width, 3) with at least one image, and "
            f"`max_images` at least 1. Received shape {images.shape} and {max_images}."
        )
    masks = {} if pixel_mask is None else {"pixel_mask": pixel_mask}
    for argument, arrays in {"y_true": y_true, "y_pred": y_pred, "pixel_mask": masks}.items():
        for key, array in arrays.items():
            if len(array) != len(images):
                raise ValueError(
                    f"`{argument}` must hold as many entries as there are images, {len(images)}. "
                    f"Received: {len(array)} of {key!r}."
                )
    panels = []
    for i in range(min(len(images), max_images)):
        settings = {"bounding_box_format": bounding_box_format, "class_names": class_names}
        mask = None if pixel_mask is None else pixel_mask[i]
        for title, objects, threshold in (
            ("Ground truth", y_true, 0.0),
            ("Predictions", y_pred, confidence_threshold),
        ):
            of_image = {key: values[i] for key, values in objects.items()}
            of_panel = {"confidence_threshold": threshold, "title": title}
            panels.append(objects_panel(images[i], mask, of_image, **settings, **of_panel))
    # Many images are drawn in two columns, or the figure would be very tall.
    return draw_panels(panels, path, most_columns=2 if len(panels) <= _TALLEST else 4)
