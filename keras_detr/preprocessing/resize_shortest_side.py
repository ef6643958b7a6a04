"""Resize images to a wanted short side."""

from typing import Any

import keras
import tensorflow as tf

from keras_detr.preprocessing.resize import ResizingLayer
from keras_detr.preprocessing.short_side_sizes import size_for_short_side


def check_sides(short_side, longest_side):
    """Raise a ValueError if a side is below one pixel, or the longest side below the short one."""
    if short_side < 1 or (longest_side is not None and longest_side < short_side):
        raise ValueError(
            "`short_side` must be at least 1 pixel and `longest_side` at least `short_side`, "
            f"or None. Received: short_side={short_side!r}, longest_side={longest_side!r}."
        )


@keras.saving.register_keras_serializable("keras_detr")
class ResizeShortestSide(ResizingLayer):
    """Resize an image to a short side, keeping its aspect, with boxes and areas.

    Pixels, boxes and areas are treated as in every `ResizingLayer`.

    Args:
        short_side: int, pixels of the short side.
        longest_side: int, the long side's limit in pixels, or None for no limit.
        bounding_box_format: str, see `BoxAwareLayer`.

    Example:
        ```python
        from keras_detr.preprocessing import ResizeShortestSide

        resize = ResizeShortestSide(30, longest_side=60, bounding_box_format="xyxy")
        print(next(iter(elements.map(resize)))["images"].shape)  # (30, 40, 3)
        ```

    Source: facebookresearch/detr, datasets/transforms.py, resize.
    """

    def __init__(
        self,
        short_side: int = 800,
        *,
        longest_side: int | None = 1333,
        bounding_box_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(bounding_box_format=bounding_box_format, **kwargs)
        check_sides(short_side, longest_side)
        self.short_side = short_side
        self.longest_side = longest_side

    def wanted_size(self, height, width):
        return size_for_short_side(height, width, self.short_side, self.longest_side, tf)

    def get_config(self):
        return {
            **super().get_config(),
            "short_side": self.short_side,
            "longest_side": self.longest_side,
        }
