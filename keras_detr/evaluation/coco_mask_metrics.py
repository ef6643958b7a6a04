"""COCO's metrics of masks, as pycocotools computes them for the type "segm"."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_detr.batches.class_names import check_class_names
from keras_detr.evaluation.class_evaluation import (
    evaluate_masks_by_class,
    figures_per_class,
    twelve_figures,
)
from keras_detr.evaluation.collected_images import CollectedImages, numbered_rows
from keras_detr.evaluation.metric_inputs import (
    check_classes,
    check_finite,
    check_lengths,
    objects_of_image,
)
from keras_detr.ops.masks.encoded_masks import decode_masks
from keras_detr.ops.numpy_arrays import to_numpy


class COCOMaskMetrics(CollectedImages):
    """Collect true and detected masks batch by batch, and evaluate them as COCO does.

    It is `COCOMetrics` for masks: an object is found if the IoU of the masks is high enough, and
    all else is the same. Masks come encoded, as `keras_detr.inference.encode_masks` returns them,
    and stay so: those of 36,000 objects take about 22 megabytes.

    Args:
        num_classes: int, the real classes.
        class_names: list of str, for results by class; None numbers the classes.

    Raises:
        ValueError: there aren't `num_classes` different names.

    Example:
        ```python
        from keras_detr.evaluation import COCOMaskMetrics
        from keras_detr.inference import encode_masks

        mask = np.zeros((1, 30, 40), bool)
        mask[0, 10:20, 10:30] = True
        y_true = {"masks": [encode_masks(mask)], "classes": np.array([[1]])}
        y_pred = {**y_true, "confidence": np.array([[0.9]])}
        metrics = COCOMaskMetrics(num_classes=2)
        metrics.update_state(y_true, y_pred)
        print(metrics.result()["AP"])  # 1.0
        ```

    Source: cocodataset/cocoapi, PythonAPI/pycocotools/cocoeval.py.
    """

    def __init__(self, *, num_classes: int, class_names: Sequence[str] | None = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.class_names = check_class_names(class_names, num_classes)

    def update_state(
        self, y_true: Mapping[str, Any], y_pred: Mapping[str, Any], image_sizes: Any = None
    ) -> None:
        """Add a batch of images.

        Args:
            y_true: dict of "masks", for each image a list of N encoded masks, "classes" (batch, N),
                -1 for padding, whose masks may be None, and optionally "is_crowd" (batch, N) and
                "area" (batch, N) in pixels of the original image; without "area" the pixels of the
                mask decide whether it is small. N may differ from image to image where lists hold
                the rows.
            y_pred: dict of "masks", "classes" (batch, K), "confidence" (batch, K) and optionally
                "num_detections" (batch,). Class -1, and everything beyond "num_detections", is
                padding.
            image_sizes: int (batch, 2), (height, width) of the original images in pixels, needed
                only where masks have another size. The pixels of masks are then counted in
                proportion.

        Raises:
            ValueError: lengths disagree, a class is out of range, a value isn't finite, a mask
                can't be decoded, or masks of one image have different sizes.
        """
        num_images = len(y_true["classes"])
        lengths = {"y_true": num_images, "y_pred": len(y_pred["classes"])}
        if image_sizes is not None:
            lengths["image_sizes"] = len(image_sizes)
        check_lengths(**lengths)
        images = []
        for index in range(num_images):
            image_size = None if image_sizes is None else to_numpy(image_sizes[index])
            truth, true_masks = self._real_objects("y_true", y_true, index)
            pixels = _areas("y_true", true_masks, image_size)
            size = _only_size("y_true", true_masks, None)
            area = truth.get("area", pixels)
            check_finite("y_true", "area", area)
            is_crowd = truth.get("is_crowd", np.zeros(len(pixels)))
            true_rows = _columns(truth["classes"], area, is_crowd)
            found, masks = self._real_objects("y_pred", y_pred, index)
            pixels = _areas("y_pred", masks, image_size)
            size = _only_size("y_pred", masks, size)
            check_finite("y_pred", "confidence", found["confidence"])
            rows = _columns(found["classes"], pixels, found["confidence"])
            images.append((true_rows, true_masks, rows, masks, size))
        # A batch is added only if all of it is valid.
        self.add_images(images)

    def result(self) -> dict[str, float]:
        """Return COCO's twelve metrics of masks.

        Returns:
            dict of float, as `COCOMetrics.result`.

        Raises:
            ValueError: there were no images.
        """
        return twelve_figures(self._evaluated())

    def result_per_class(self) -> dict[str, float]:
        """Return the AP (IoU 0.50:0.95, all sizes, 100 detections) of each class.

        Returns:
            dict of float by class name, NaN for a class without objects.

        Raises:
            ValueError: there were no images.
        """
        names = self.class_names or tuple(str(label) for label in range(self.num_classes))
        return figures_per_class(self._evaluated(), names)

    def _real_objects(self, argument, batch, index):
        """Return the entries of an image's objects that aren't padding, and their masks."""
        image = objects_of_image(batch, index)
        is_real = check_classes(argument, "masks", image, self.num_classes) >= 0
        masks = image.pop("masks")
        real_masks = [masks[place] for place in np.flatnonzero(is_real).tolist()]
        return {key: value[is_real] for key, value in image.items()}, real_masks

    def _evaluated(self):
        if self._evaluation is None:
            true_rows, true_masks, rows, masks, sizes = self._entries()
            self._evaluation = evaluate_masks_by_class(
                numbered_rows(true_rows),
                list(itertools.chain(*true_masks)),
                numbered_rows(rows),
                list(itertools.chain(*masks)),
                self.num_classes,
                {image: size for image, size in enumerate(sizes) if size is not None},
            )
        return self._evaluation


def _only_size(argument, masks, size):
    """Return the (height, width) of an image's masks, which is `size` unless that is None."""
    for mask in masks:
        its_size = tuple(int(side) for side in mask["size"])
        if size is not None and its_size != size:
            raise ValueError(
                f"`{argument}`: all masks of an image must have the same size. Received: "
                f"{size} and {its_size}."
            )
        size = its_size
    return size


def _areas(argument, masks, image_size):
    """Return float64 (masks,), the areas of encoded masks in pixels of the original image.

    Each is decoded: of one whose runs don't cover its size, faster-coco-eval never ends to compute
    the IoU.
    """
    areas = []
    for mask in masks:
        try:
            (pixels,) = decode_masks([mask], image_size=mask["size"])
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"`{argument}` must have encoded masks, dicts of 'size' and 'counts'; "
                f"`keras_detr.inference.encode_masks` makes them. Received: {mask!r:.80}."
            ) from error
        scale = 1 if image_size is None else np.prod(image_size) / pixels.size
        areas.append(np.count_nonzero(pixels) * scale)
    return np.array(areas, float)


def _columns(*columns):
    return np.column_stack(columns).astype(np.float64)
