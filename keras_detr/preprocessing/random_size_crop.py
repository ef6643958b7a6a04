"""Cut a region of random size and place out of images."""

from typing import Any

import keras
import tensorflow as tf

from keras_detr.preprocessing.box_aware_layer import BoxAwareLayer
from keras_detr.preprocessing.random_draws import RandomDraws


@keras.saving.register_keras_serializable("keras_detr")
class RandomSizeCrop(BoxAwareLayer):
    """Cut a region of random size out of an image, with its boxes.

    Height and width of the region are drawn apart, from `min_size` to `max_size` or the image's
    own side where that is smaller; then its place is drawn. Boxes are cut at the region's edge.
    A box with nothing left is dropped, with all that belongs to it; the entry "area" becomes
    the area of what is left of the box.

    Args:
        min_size: int, pixels. An image smaller than that keeps its side.
        max_size: int, pixels, at least `min_size`.
        bounding_box_format: str, see `BoxAwareLayer`.
        seed: int or None; see `RandomHorizontalFlip`.

    Example:
        ```python
        from keras_detr.preprocessing import RandomSizeCrop

        crop = RandomSizeCrop(min_size=30, max_size=50, bounding_box_format="xyxy", seed=0)
        print(next(iter(elements.map(crop)))["images"].shape)  # Sides of 30 to 50 pixels.
        ```

    Source: facebookresearch/detr, datasets/transforms.py, RandomSizeCrop and crop.
    """

    working_format = "xyxy"
    is_size_random = True

    def __init__(
        self,
        min_size: int = 384,
        max_size: int = 600,
        *,
        bounding_box_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(bounding_box_format=bounding_box_format, **kwargs)
        if not 1 <= min_size <= max_size:
            raise ValueError(
                "`min_size` must be at least 1 pixel and at most `max_size`. Received: "
                f"min_size={min_size!r}, max_size={max_size!r}."
            )
        self.min_size = min_size
        self.max_size = max_size
        self.seed = seed
        self._draws = RandomDraws(seed)

    def draw(self, element):
        image_size = tf.shape(element["images"])[:2]
        size = [self._draw_side(image_size[axis]) for axis in (0, 1)]
        start = [self._draws.whole_number(0, image_size[axis] - size[axis]) for axis in (0, 1)]
        return {"start": start, "size": size}

    def transform_images(self, images, parameters):
        return images[_region(parameters)]

    def transform_masks(self, masks, parameters):
        return masks[:, *_region(parameters)]

    def transform_boxes(self, boxes, parameters):
        start, size = (tf.cast(parameters[key], boxes.dtype) for key in ("start", "size"))
        corners = tf.reshape(boxes, (-1, 2, 2)) - start[::-1]
        return tf.reshape(tf.clip_by_value(corners, 0.0, size[::-1]), (-1, 4))

    def transform_rows(self, rows, parameters):
        extent = rows["boxes"][:, 2:] - rows["boxes"][:, :2]
        if "area" in rows:
            rows = {**rows, "area": tf.reduce_prod(extent, axis=-1)}
        is_kept = tf.reduce_all(extent > 0, axis=-1) | (rows["classes"] < 0)
        return {key: tf.boolean_mask(values, is_kept) for key, values in rows.items()}

    def get_config(self):
        return {
            **super().get_config(),
            "min_size": self.min_size,
            "max_size": self.max_size,
            "seed": self.seed,
        }

    def _draw_side(self, image_side):
        lowest = tf.minimum(self.min_size, image_side)
        return self._draws.whole_number(lowest, tf.minimum(self.max_size, image_side))


def _region(parameters):
    """Return the slices of rows and of columns that are cut out."""
    pairs = zip(parameters["start"], parameters["size"], strict=True)
    return tuple(slice(start, start + size) for start, size in pairs)
