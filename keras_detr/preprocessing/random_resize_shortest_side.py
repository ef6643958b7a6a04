"""Resize images to one of several short sides, drawn for each image."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_detr.preprocessing.random_draws import RandomDraws
from keras_detr.preprocessing.resize import ResizingLayer
from keras_detr.preprocessing.resize_shortest_side import check_sides
from keras_detr.preprocessing.short_side_sizes import size_for_short_side


@keras.saving.register_keras_serializable("keras_detr")
class RandomResizeShortestSide(ResizingLayer):
    """Resize an image to a short side drawn from a list, keeping its aspect.

    Pixels, boxes and areas are treated as in every `ResizingLayer`, sizes are rounded as in
    `ResizeShortestSide`.

    Args:
        short_sides: sequence of int, pixels; each is equally likely.
        longest_side: int, the long side's limit in pixels, or None for no limit.
        bounding_box_format: str, see `BoxAwareLayer`.
        seed: int or None; see `RandomHorizontalFlip`.

    Example:
        ```python
        from keras_detr.preprocessing import RandomResizeShortestSide

        resize = RandomResizeShortestSide((30, 45), longest_side=80, bounding_box_format="xyxy")
        print(next(iter(elements.map(resize)))["images"].shape)  # (30, 40, 3) or (45, 60, 3)
        ```

    Source: facebookresearch/detr, datasets/transforms.py, RandomResize.
    """

    is_size_random = True

    def __init__(
        self,
        short_sides: Sequence[int],
        *,
        longest_side: int | None = 1333,
        bounding_box_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(bounding_box_format=bounding_box_format, **kwargs)
        self.short_sides = tuple(int(side) for side in short_sides)
        if not self.short_sides:
            raise ValueError("`short_sides` must hold at least one short side. Received none.")
        for side in self.short_sides:
            check_sides(side, longest_side)
        self.longest_side = longest_side
        self.seed = seed
        self._draws = RandomDraws(seed)

    def wanted_size(self, height, width):
        index = self._draws.whole_number(0, len(self.short_sides) - 1)
        short_side = tf.gather(tf.constant(self.short_sides, tf.float64), index)
        return size_for_short_side(height, width, short_side, self.longest_side, tf)

    def get_config(self):
        return {
            **super().get_config(),
            "short_sides": self.short_sides,
            "longest_side": self.longest_side,
            "seed": self.seed,
        }
