"""What DETR's published weights expect of an image, for prediction and evaluation."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_detr.batches.images import raw_images
from keras_detr.preprocessing.bucketing import scaled_canvases
from keras_detr.preprocessing.resize_shortest_side import ResizeShortestSide
from keras_detr.preprocessing.short_side_sizes import resized_size


@keras.saving.register_keras_serializable("keras_detr")
class DETRPreprocessor(ResizeShortestSide):
    """Resize images as DETR and Deformable DETR were evaluated, and pad raw images to a batch.

    Mapped over a data set it is `ResizeShortestSide`. Called with raw images it makes a model's
    input of them. Colours are normalized by the backbone, not here. Arguments are those of
    `ResizeShortestSide`.

    Call arguments:
        element: dict, as every `BoxAwareLayer` takes it; or raw images: an array (height, width,
            3), (batch, height, width, 3), or a list of arrays (height, width, 3) of any sizes,
            RGB in 0..255.

    Returns:
        For raw images dict of NumPy arrays: "images" float32 (batch, height, width, 3), the
        largest height and width of all; "pixel_mask" uint8 (batch, height, width), 1 image and 0
        padding; "image_size" int32 (batch, 2), height and width before.

    Example:
        ```python
        from keras_detr.preprocessing import DETRPreprocessor

        preprocessor = DETRPreprocessor(64, longest_side=107, bounding_box_format="xyxy")
        photos = [np.zeros((60, 80, 3), "uint8"), np.zeros((90, 60, 3), "uint8")]
        batch = preprocessor(photos)
        print(batch["images"].shape, batch["image_size"])  # (2, 96, 85, 3) and the sizes before.
        ```

    Source: facebookresearch/detr, datasets/coco.py, make_coco_transforms("val").
    """

    def call(self, element):
        if isinstance(element, dict):
            return super().call(element)
        return self.pad_together(raw_images(element))

    def pad_together(self, images: Sequence[Any], canvas: Sequence[int] | None = None) -> Any:
        """Resize images and pad them to one size.

        Args:
            images: list of arrays (height, width, 3).
            canvas: pair of int (height, width), or None for the largest height and width.

        Returns:
            dict of NumPy arrays, see the class.
        """
        resized = [super(DETRPreprocessor, self).call({"images": image}) for image in images]
        resized = [element["images"] for element in resized]
        height, width = canvas or np.max([image.shape[:2] for image in resized], axis=0)
        batch = np.zeros((len(images), height, width, 3), np.float32)
        mask = np.zeros(batch.shape[:3], np.uint8)
        for index, image in enumerate(resized):
            rows, columns = image.shape[:2]
            batch[index, :rows, :columns] = image
            mask[index, :rows, :columns] = 1
        sizes = np.array([image.shape[:2] for image in images], np.int32)
        return {"images": batch, "pixel_mask": mask, "image_size": sizes}

    def batches(self, images: Sequence[Any], batch_size: int) -> Any:
        """Group raw images of similar shape into batches of a few sizes.

        Args:
            images: list of arrays (height, width, 3).
            batch_size: int, the most images of a batch. With 1 no image is padded.

        Yields:
            pair of the images' places in the list, a list of int, and their batch, see the class.
        """
        canvases = scaled_canvases(self.short_side, longest_side=self.longest_side)
        groups: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            height, width = image.shape[:2]
            height, width = resized_size(height, width, self.short_side, self.longest_side)
            fitting = (canvas for canvas in canvases if height <= canvas[0] and width <= canvas[1])
            canvas = (height, width) if batch_size == 1 else next(fitting, (height, width))
            groups.setdefault(canvas, []).append(index)
        for canvas, indices in groups.items():
            for start in range(0, len(indices), batch_size):
                chosen = indices[start : start + batch_size]
                yield chosen, self.pad_together([images[index] for index in chosen], canvas)
