"""Draw what a detector predicts for a batch, beside the ground truth."""

import os
from collections.abc import Sequence
from typing import Any

from keras_detr.batches.arrays import numpy_parts
from keras_detr.batches.carried_format import check_carried_format
from keras_detr.batches.structure import batch_parts
from keras_detr.visualization.comparison import plot_comparison
from keras_detr.visualization.drawn_objects import drawn_targets


def plot_predictions(
    model: Any,
    batch: Any,
    *,
    class_names: Sequence[str] | None = None,
    confidence_threshold: float = 0.5,
    path: str | os.PathLike[str] | None = None,
    max_images: int = 6,
) -> Any:
    """Predict a batch, and draw each image twice, with its true objects and with the detections.

    Masks are drawn where the batch has some, and where the model predicts some.

    Args:
        model: a detector of keras_detr.
        batch: one batch of images and their true objects, as `fit` takes it, with boxes in the
            model's `bounding_box_format`: `next(iter(valid_batches))`.
        class_names: sequence of str, one a class; or `None` for those of the model, if it has any.
        confidence_threshold: float, less confident detections aren't drawn.
        path: where to write the picture, a PNG; or `None`.
        max_images: int, the most images of the batch that are drawn.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: the batch has no images or no boxes, or carries another format of boxes.

    Example:
    ```python
    from keras_detr.visualization import plot_predictions

    figure = plot_predictions(model, next(iter(validation_batches)))
    ```
    """
    parts = numpy_parts(batch_parts(batch))
    check_carried_format(parts.carried_format, model.bounding_box_format)
    inputs = {"images": parts.images[:max_images]}
    if parts.pixel_mask is not None:
        inputs["pixel_mask"] = parts.pixel_mask[:max_images]
    return plot_comparison(
        inputs["images"],
        drawn_targets(parts, max_images),
        model.predict_on_batch(inputs),
        model.bounding_box_format,
        class_names=class_names or model.class_names,
        confidence_threshold=confidence_threshold,
        path=path,
        max_images=max_images,
        pixel_mask=inputs.get("pixel_mask"),
    )
