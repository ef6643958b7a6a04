"""Resize images, with their boxes and areas."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_detr.preprocessing.box_aware_layer import BoxAwareLayer


class ResizingLayer(BoxAwareLayer):
    """Resize an image to the size that a subclass wants, with boxes and areas.

    Bilinear and antialiased, as PIL does it. The image comes out as float32 in its own range.
    Boxes in pixels and the entry "area" scale by the true ratio of each axis; relative boxes stay
    as they are.

    Args:
        bounding_box_format: str, see `BoxAwareLayer`.

    Example:
        ```python
        from keras_detr.preprocessing import ResizingLayer


        class HalfSize(ResizingLayer):
            def wanted_size(self, height, width):
                return height // 2, width // 2


        print(next(iter(elements.map(HalfSize(bounding_box_format="xyxy"))))["images"].shape)
        ```
    """

    working_format = "rel_xyxy"

    def wanted_size(self, height, width):
        """Return the size that an image is resized to.

        Args:
            height: float64 scalar tensor, pixels.
            width: float64 scalar tensor, pixels.

        Returns:
            pair of whole float64 scalars (height, width), pixels.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `wanted_size`.")

    def draw(self, element):
        size_before = tf.cast(tf.shape(element["images"])[:2], tf.float64)
        size = tf.stack(self.wanted_size(size_before[0], size_before[1]))
        return {
            "size": tf.cast(size, tf.int32),
            "area_ratio": tf.cast(tf.reduce_prod(size / size_before), tf.float32),
        }

    def transform_images(self, images, parameters):
        size = parameters["size"]
        if images.shape[-1] == 0:  # An image that stands for its size, see `size_after`.
            return tf.zeros((size[0], size[1], 0))
        # TensorFlow resizes float32 more than twice as fast as uint8, and without shrinking, where
        # there is nothing to antialias, five times as fast again.
        images = tf.cast(images, tf.float32)
        resized = tf.cond(
            tf.reduce_all(size >= tf.shape(images)[:2]),
            lambda: tf.image.resize(images, size, "bilinear"),
            lambda: tf.image.resize(images, size, "bilinear", antialias=True),
        )
        return tf.cast(resized, tf.float32)

    def transform_masks(self, masks, parameters):
        # The nearest pixel. TensorFlow resizes no bool, and takes twice as long for uint8.
        size_before = tf.shape(masks)[1:]
        rows, columns = (
            _nearest_pixels(size_before[axis], parameters["size"][axis]) for axis in (0, 1)
        )
        return tf.gather(tf.gather(masks, columns, axis=2), rows, axis=1)

    def transform_rows(self, rows, parameters):
        if "area" not in rows:
            return rows
        area = tf.cast(rows["area"], tf.float32) * parameters["area_ratio"]
        return {**rows, "area": area}


def _nearest_pixels(length_before, length):
    """Return for each pixel of a side the one before whose center is nearest, int32 (length,)."""
    # Twice the center of a pixel is a whole number.
    centers = 2 * tf.range(length, dtype=tf.int64) + 1
    pixels = centers * tf.cast(length_before, tf.int64) // (2 * tf.cast(length, tf.int64))
    return tf.cast(pixels, tf.int32)


@keras.saving.register_keras_serializable("keras_detr")
class Resize(ResizingLayer):
    """Stretch every image to one size, whatever its aspect, with boxes and areas.

    One static shape without padding, at the price of distorted objects. `ResizeShortestSide`
    keeps the aspect.

    Args:
        size: pair of int (height, width) in pixels.
        bounding_box_format: str, see `BoxAwareLayer`.

    Example:
        ```python
        from keras_detr.preprocessing import Resize

        resized = elements.map(Resize((64, 64), bounding_box_format="xyxy"))
        print(next(iter(resized))["images"].shape)  # (64, 64, 3)
        ```
    """

    def __init__(
        self, size: Sequence[int], *, bounding_box_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(bounding_box_format=bounding_box_format, **kwargs)
        if len(tuple(size)) != 2 or min(size) < 1:
            raise ValueError(
                f"`size` must be (height, width) in pixels, both at least 1. Received: {size!r}."
            )
        self.size = tuple(int(side) for side in size)

    def wanted_size(self, height, width):
        return tf.zeros_like(height) + self.size[0], tf.zeros_like(width) + self.size[1]

    def transform_images(self, images, parameters):
        return tf.ensure_shape(super().transform_images(images, parameters), (*self.size, None))

    def get_config(self):
        return {**super().get_config(), "size": self.size}
