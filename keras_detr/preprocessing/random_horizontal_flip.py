"""Mirror an image and its boxes, left to right, now and then."""

from typing import Any

import keras
import tensorflow as tf

from keras_detr.preprocessing.box_aware_layer import BoxAwareLayer
from keras_detr.preprocessing.random_draws import RandomDraws


@keras.saving.register_keras_serializable("keras_detr")
class RandomHorizontalFlip(BoxAwareLayer):
    """Mirror an image and its boxes left to right with a given probability.

    Args:
        rate: float in [0, 1], the share of images to mirror.
        bounding_box_format: str, see `BoxAwareLayer`.
        seed: int, or None for one that follows from `keras.utils.set_random_seed`. With a seed a
            fresh layer draws the same sequence again; under a parallel `map` which element gets
            which draw is up to tf.data, unless `tf.config.experimental.enable_op_determinism` is
            called first.

    Example:
        ```python
        from keras_detr.preprocessing import RandomHorizontalFlip

        flip = RandomHorizontalFlip(rate=1.0, bounding_box_format="xyxy")
        element = {
            "images": np.zeros((60, 80, 3), "uint8"),
            "bounding_boxes": {"boxes": np.array([[10.0, 8, 40, 28]]), "classes": np.array([0])},
        }
        print(flip(element)["bounding_boxes"]["boxes"])  # [[40, 8, 70, 28]]
        ```

    Source: facebookresearch/detr, datasets/transforms.py, RandomHorizontalFlip.
    """

    working_format = "rel_center_xywh"

    def __init__(
        self,
        rate: float = 0.5,
        *,
        bounding_box_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(bounding_box_format=bounding_box_format, **kwargs)
        if not 0 <= rate <= 1:
            raise ValueError(f"`rate` must be a probability in [0, 1]. Received: {rate!r}.")
        self.rate = rate
        self.seed = seed
        self._draws = RandomDraws(seed)

    def draw(self, element):
        return {"is_flipped": self._draws.uniform() < self.rate}

    def transform_images(self, images, parameters):
        return tf.cond(
            parameters["is_flipped"], lambda: tf.reverse(images, axis=[1]), lambda: images
        )

    def transform_masks(self, masks, parameters):
        return tf.cond(parameters["is_flipped"], lambda: tf.reverse(masks, axis=[2]), lambda: masks)

    def transform_boxes(self, boxes, parameters):
        center_x, others = boxes[:, :1], boxes[:, 1:]
        center_x = tf.where(parameters["is_flipped"], 1.0 - center_x, center_x)
        return tf.concat([center_x, others], axis=-1)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
