"""Give images and box lists one shape, so that they can be batched."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_detr.preprocessing.assertions import checked
from keras_detr.preprocessing.box_aware_layer import BoxAwareLayer
from keras_detr.preprocessing.padding import checked_number, padded, padded_boxes


@keras.saving.register_keras_serializable("keras_detr")
class PadToCanvas(BoxAwareLayer):
    """Pad an image at its bottom and right to a canvas, and its boxes to a fixed number.

    Adds "pixel_mask", uint8 (canvas height, canvas width): 1 is image, 0 is padding. Padding
    boxes are -1 and have class -1; their other entries, masks too, are 0. Relative boxes stay
    relative to the image without its padding, so no box changes. It comes last in a pipeline.

    Args:
        canvas_size: pair of int (height, width) in pixels.
        max_boxes: int, the number of boxes every image comes out with.
        bounding_box_format: str, see `BoxAwareLayer`.

    Raises:
        tf.errors.InvalidArgumentError: at the call, an image is larger than the canvas or has
            more than `max_boxes` boxes. Nothing is cropped or dropped silently.

    Example:
        ```python
        from keras_detr.preprocessing import PadToCanvas

        pad = PadToCanvas((64, 96), max_boxes=10, bounding_box_format="xyxy")
        batch = next(iter(elements.map(pad).batch(2)))
        print(batch["pixel_mask"].shape)  # (2, 64, 96)
        print(batch["bounding_boxes"]["boxes"].shape)  # (2, 10, 4)
        ```
    """

    def __init__(
        self,
        canvas_size: Sequence[int],
        *,
        max_boxes: int | None = None,
        bounding_box_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(bounding_box_format=bounding_box_format, **kwargs)
        if len(tuple(canvas_size)) != 2 or min(canvas_size) < 1:
            raise ValueError(
                "`canvas_size` must be (height, width) in pixels, both at least 1. "
                f"Received: {canvas_size!r}."
            )
        if max_boxes is None or max_boxes < 1:
            raise ValueError(
                "`max_boxes` must be the number of boxes every image is padded to, at least the "
                f"most boxes of one image. Received: {max_boxes!r}."
            )
        self.canvas_size = tuple(int(side) for side in canvas_size)
        self.max_boxes = max_boxes

    def apply(self, element, parameters):
        result = super().apply(element, parameters)
        mask = self._pad_bottom_right(tf.ones(tf.shape(element["images"])[:2], tf.uint8))
        return {**result, "pixel_mask": mask}

    def transform_images(self, images, parameters):
        return self._pad_bottom_right(images)

    def transform_masks(self, masks, parameters):
        return padded(masks, (tf.shape(masks)[0], *self.canvas_size))

    def transform_rows(self, rows, parameters):
        return padded_boxes(checked_number(rows, self.max_boxes, "PadToCanvas"), self.max_boxes)

    def get_config(self):
        return {
            **super().get_config(),
            "canvas_size": self.canvas_size,
            "max_boxes": self.max_boxes,
        }

    def _pad_bottom_right(self, pixels):
        size = tf.shape(pixels)[:2]
        pixels = checked(
            pixels,
            tf.reduce_all(size <= self.canvas_size),
            [
                "PadToCanvas: an image of (height, width)",
                size,
                f"is larger than `canvas_size` {self.canvas_size}. Resize images before, with "
                "`ResizeShortestSide`, or choose a larger canvas.",
            ],
        )
        return padded(pixels, self.canvas_size)
