"""The paper's training augmentation as one layer."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_detr.preprocessing.box_aware_layer import BoxAwareLayer
from keras_detr.preprocessing.pipelines import RandomChoice, apply_layers
from keras_detr.preprocessing.random_draws import spread_seed
from keras_detr.preprocessing.random_horizontal_flip import RandomHorizontalFlip
from keras_detr.preprocessing.random_resize_shortest_side import RandomResizeShortestSide
from keras_detr.preprocessing.random_size_crop import RandomSizeCrop

SHORT_SIDES = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
CROP_SHORT_SIDES = (400, 500, 600)
CROP_SIZES = (384, 600)


@keras.saving.register_keras_serializable("keras_detr")
class DETRAugmentation(BoxAwareLayer):
    """Augment images as DETR and Deformable DETR were trained: mirror, resize, crop.

    Half of the images are mirrored. Then half are resized to a random short side; the others
    are resized to one of `crop_short_sides`, cut to a region of random size, and resized to a
    random short side. Boxes emptied by the cut are dropped. Images come out as float32, in many
    sizes: `bucketed_batches` or `PadToCanvas` makes batches of them.

    Args:
        short_sides: sequence of int, pixels, the short sides an image may come out with.
        longest_side: int, the long side's limit in pixels, or None for no limit.
        crop_short_sides: sequence of int, pixels, the short sides before the cut.
        crop_sizes: pair of int, pixels, the smallest and largest side of the region.
        crop_rate: float in [0, 1], the share of images that are cut.
        flip_rate: float in [0, 1], the share of images that are mirrored.
        bounding_box_format: str, see `BoxAwareLayer`.
        seed: int or None; see `RandomHorizontalFlip`.

    Example:
        ```python
        from keras_detr.preprocessing import DETRAugmentation, PadToCanvas

        augment = DETRAugmentation((48, 64), longest_side=96, bounding_box_format="xyxy")
        pad = PadToCanvas((96, 96), max_boxes=10, bounding_box_format="xyxy")
        batches = elements.map(augment).map(pad).batch(2)
        print(next(iter(batches))["images"].shape)  # (2, 96, 96, 3)
        ```

    Source: Carion et al. 2020, section 4; facebookresearch/detr, datasets/coco.py.
    """

    is_size_random = True

    def __init__(
        self,
        short_sides: Sequence[int] = SHORT_SIDES,
        *,
        longest_side: int | None = 1333,
        crop_short_sides: Sequence[int] = CROP_SHORT_SIDES,
        crop_sizes: Sequence[int] = CROP_SIZES,
        crop_rate: float = 0.5,
        flip_rate: float = 0.5,
        bounding_box_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(bounding_box_format=bounding_box_format, **kwargs)
        self.short_sides = tuple(short_sides)
        self.longest_side = longest_side
        self.crop_short_sides = tuple(crop_short_sides)
        self.crop_sizes = tuple(crop_sizes)
        self.crop_rate = crop_rate
        self.flip_rate = flip_rate
        self.seed = seed
        if not 0 <= crop_rate <= 1:
            raise ValueError(
                f"`crop_rate` must be a probability in [0, 1]. Received: {crop_rate!r}."
            )
        seeds = iter(spread_seed(seed, 6))

        def drawing(layer, *arguments, **settings):
            return layer(
                *arguments, **settings, bounding_box_format=bounding_box_format, seed=next(seeds)
            )

        flip = drawing(RandomHorizontalFlip, flip_rate)
        whole = [drawing(RandomResizeShortestSide, short_sides, longest_side=longest_side)]
        cut = [
            drawing(RandomResizeShortestSide, crop_short_sides, longest_side=None),
            drawing(RandomSizeCrop, *crop_sizes),
            drawing(RandomResizeShortestSide, short_sides, longest_side=longest_side),
        ]
        self._layers_in_order = (
            flip,
            drawing(RandomChoice, [whole, cut], [1 - crop_rate, crop_rate]),
        )

    @classmethod
    def scaled_to(cls, sizes: Sequence[int | None], **settings: Any) -> "DETRAugmentation":
        """Return the paper's augmentation for images of other sizes than 800 and 1333.

        Args:
            sizes: pair of int, pixels: the largest short side, and the long side's limit or None,
                as `preprocessor_sizes` of a detector. All sizes of the paper are scaled like the
                short side.
            settings: `bounding_box_format`, `seed` and others of the constructor.

        Example:
            ```python
            from keras_detr.preprocessing import DETRAugmentation

            augmentation = DETRAugmentation.scaled_to((480, 800), bounding_box_format="xyxy")
            ```
        """
        short_side, longest_side = sizes

        def scaled(sides):
            return [max(1, round(side * short_side / SHORT_SIDES[-1])) for side in sides]

        return cls(
            scaled(SHORT_SIDES),
            longest_side=longest_side,
            crop_short_sides=scaled(CROP_SHORT_SIDES),
            crop_sizes=scaled(CROP_SIZES),
            **settings,
        )

    def apply(self, element, parameters):
        return apply_layers(self._layers_in_order, element)

    def get_config(self):
        return {
            **super().get_config(),
            "short_sides": self.short_sides,
            "longest_side": self.longest_side,
            "crop_short_sides": self.crop_short_sides,
            "crop_sizes": self.crop_sizes,
            "crop_rate": self.crop_rate,
            "flip_rate": self.flip_rate,
            "seed": self.seed,
        }
