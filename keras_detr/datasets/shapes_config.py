"""The settings of the generated shapes."""

import dataclasses

import tensorflow_datasets as tfds


@dataclasses.dataclass(eq=False, kw_only=True)
class ShapesConfig(tfds.core.BuilderConfig):
    """Configure how many images of shapes are generated, and what they hold.

    The name consists of all settings, so different settings are different data sets.

    Attributes:
        num_train: int, images of the split "train".
        num_validation: int, images of the split "validation".
        min_side, max_side: int, pixels; height and width are drawn independently.
        max_objects: int, the most objects of an image. All numbers from 1 are equally likely.
        empty_share: float, the share of images without objects.
        min_size, max_size: float, a shape's extent as a share of the image's shorter side.
        max_tilt: float, degrees by which a shape may be rotated to either side.
        seed: int, the seed of all random numbers.

    Example:
        ```python
        from keras_detr.datasets import ShapesConfig, load_shapes

        config = ShapesConfig(num_train=4, num_validation=2, max_objects=1, seed=7)
        images = load_shapes("train", data_dir="shapes", config=config)
        print(len(images))  # 4
        ```
    """

    name: str = ""
    num_train: int = 2000
    num_validation: int = 200
    min_side: int = 96
    max_side: int = 160
    max_objects: int = 3
    empty_share: float = 0.1
    min_size: float = 0.3
    max_size: float = 0.6
    max_tilt: float = 20.0
    seed: int = 0

    def __post_init__(self):
        if not 16 <= self.min_side <= self.max_side:
            raise ValueError(
                "`min_side` must be at least 16 pixels and at most `max_side`. Received: "
                f"min_side={self.min_side!r}, max_side={self.max_side!r}."
            )
        if not 0 < self.min_size <= self.max_size <= 0.7:
            raise ValueError(
                "`min_size` and `max_size` must be shares of the shorter side, in this order, "
                f"above 0 and at most 0.7. Received: {self.min_size!r}, {self.max_size!r}."
            )
        if not 0 <= self.empty_share < 1:
            raise ValueError(
                f"`empty_share` must be at least 0 and below 1. Received: {self.empty_share!r}."
            )
        if not 0 <= self.max_tilt <= 180:
            raise ValueError(
                f"`max_tilt` must be from 0 to 180 degrees. Received: {self.max_tilt!r}."
            )
        if min(self.num_train, self.num_validation) < 1 or self.max_objects < 1:
            raise ValueError(
                "`num_train`, `num_validation` and `max_objects` must be at least 1. Received: "
                f"{self.num_train!r}, {self.num_validation!r}, {self.max_objects!r}."
            )
        self.name = self.name or (
            f"train{self.num_train}_validation{self.num_validation}"
            f"_sides{self.min_side}to{self.max_side}_upto{self.max_objects}objects"
            f"_empty{self.empty_share:g}"
            f"_sizes{self.min_size:g}to{self.max_size:g}_tilt{self.max_tilt:g}_seed{self.seed}"
        )
