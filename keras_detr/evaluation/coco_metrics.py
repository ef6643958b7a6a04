"""COCO's detection metrics, as pycocotools computes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_detr.batches.class_names import check_class_names
from keras_detr.evaluation.class_evaluation import (
    evaluate_by_class,
    figures_per_class,
    twelve_figures,
)
from keras_detr.evaluation.collected_images import CollectedImages, numbered_rows
from keras_detr.evaluation.confusion_matrix import ConfusionMatrix, confusion_of
from keras_detr.evaluation.detection_curves import DetectionCurves, curves_of
from keras_detr.evaluation.metric_inputs import (
    check_classes,
    check_finite,
    check_lengths,
    objects_of_image,
)
from keras_detr.ops.boxes import check_box_format, convert_box_format
from keras_detr.ops.numpy_arrays import to_numpy


class COCOMetrics(CollectedImages):
    """Collect true and detected boxes batch by batch, and evaluate them as COCO does.

    All images count, also those without objects, and so does class 0. As COCO's rules say, boxes
    that stand for a crowd are ignored: detections inside them are neither right nor wrong. COCO
    measures sizes in pixels of the original image.

    Args:
        bounding_box_format: str, the format of true and detected boxes, one of
            `keras_detr.ops.boxes.BOX_FORMATS`.
        num_classes: int, the real classes.
        class_names: list of str, for results by class; None numbers the classes.

    Raises:
        ValueError: the format is missing or unknown, or there aren't `num_classes` different names.

    Example:
        ```python
        from keras_detr.evaluation import COCOMetrics

        metrics = COCOMetrics("xyxy", num_classes=2)
        y_true = {"boxes": [[[10, 10, 50, 60]]], "classes": [[1]]}
        y_pred = {"boxes": [[[10, 10, 50, 60]]], "classes": [[1]], "confidence": [[0.9]]}
        arrays = [{key: np.array(value) for key, value in y.items()} for y in (y_true, y_pred)]
        metrics.update_state(*arrays, image_sizes=np.array([[100, 100]]))
        print(metrics.result()["AP"])  # 1.0
        ```

    Source: cocodataset/cocoapi, PythonAPI/pycocotools/cocoeval.py.
    """

    def __init__(
        self,
        bounding_box_format: str | None = None,
        *,
        num_classes: int,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        box_format = check_box_format(bounding_box_format)
        self.bounding_box_format = bounding_box_format
        self.num_classes = num_classes
        self.class_names = check_class_names(class_names, num_classes)
        self._is_relative = box_format.is_relative

    def update_state(
        self, y_true: Mapping[str, Any], y_pred: Mapping[str, Any], image_sizes: Any = None
    ) -> None:
        """Add a batch of images.

        Args:
            y_true: dict of "boxes" (batch, N, 4), "classes" (batch, N), -1 for padding, and
                optionally "is_crowd" (batch, N) and "area" (batch, N) in pixels of the original
                image; without "area" the area of the box decides whether it is small.
            y_pred: dict of "boxes" (batch, K, 4), "classes" (batch, K), "confidence"
                (batch, K) and optionally "num_detections" (batch,), as a detector returns them.
                Class -1, and everything beyond "num_detections", is padding.
            image_sizes: int (batch, 2), (height, width) of the original images in pixels;
                required for relative formats.

        Raises:
            ValueError: `image_sizes` is missing, lengths disagree, a class is out of range, or
                a value isn't finite.
        """
        num_images = len(y_true["classes"])
        if self._is_relative and image_sizes is None:
            raise ValueError(
                "`image_sizes` is needed: COCO scores boxes in pixels of the original image, and "
                f"{self.bounding_box_format!r} is relative. Pass (height, width) of each image, "
                "the entry 'image_size' of our data sets."
            )
        lengths = {"y_true": num_images, "y_pred": len(y_pred["classes"])}
        if image_sizes is not None:
            lengths["image_sizes"] = len(image_sizes)
        check_lengths(**lengths)
        images = []
        for index in range(num_images):
            size = None if image_sizes is None else to_numpy(image_sizes[index])
            true_rows = self._true_rows(objects_of_image(y_true, index), size)
            images.append((true_rows, self._detection_rows(objects_of_image(y_pred, index), size)))
        # A batch is added only if all of it is valid.
        self.add_images(images)

    def result(self) -> dict[str, float]:
        """Return COCO's twelve metrics.

        Returns:
            dict of float: "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1",
            "AR10", "AR100", "AR_small", "AR_medium", "AR_large", each in [0, 1], or NaN if there
            are no such objects (COCO prints -1).

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
        return figures_per_class(self._evaluated(), self._names())

    def curves(self, iou_threshold: float = 0.5) -> DetectionCurves:
        """Return precision by recall and F1 by confidence, of each class and of all.

        Args:
            iou_threshold: float in (0, 1], from which IoU on a detection is right. Detections are
                matched as COCO does.

        Returns:
            `DetectionCurves`.

        Raises:
            ValueError: there were no images, or the threshold is impossible.
        """
        _check_share("iou_threshold", iou_threshold, is_zero_allowed=False)
        true_boxes, detections = self._rows()
        return curves_of(true_boxes, detections, self._names(), iou_threshold)

    def confusion_matrix(
        self, *, confidence_threshold: float = 0.5, iou_threshold: float = 0.5
    ) -> ConfusionMatrix:
        """Return which classes were taken for which, for each other, and for the background.

        In each image, pairs of an object and a detection of at least `iou_threshold` belong
        together: first those of the same class, then the others, and among them those of the
        highest IoU. Detections in a crowd of their class aren't counted.

        Args:
            confidence_threshold: float in [0, 1], less confident detections are left out.
                `curves().best()` finds a good one.
            iou_threshold: float in (0, 1].

        Returns:
            `ConfusionMatrix`.

        Raises:
            ValueError: there were no images, or a threshold is impossible.
        """
        _check_share("confidence_threshold", confidence_threshold)
        _check_share("iou_threshold", iou_threshold, is_zero_allowed=False)
        true_boxes, detections = self._rows()
        return confusion_of(
            true_boxes, detections, self._names(), confidence_threshold, iou_threshold
        )

    def _true_rows(self, image, size):
        rows, is_real = self._real_objects("y_true", image, size)
        area = image["area"][is_real] if "area" in image else rows[:, 3] * rows[:, 4]
        is_crowd = image["is_crowd"][is_real] if "is_crowd" in image else np.zeros(len(rows))
        check_finite("y_true", "area", area)
        return np.column_stack([rows, area, is_crowd])

    def _detection_rows(self, image, size):
        rows, is_real = self._real_objects("y_pred", image, size)
        confidence = image["confidence"][is_real]
        check_finite("y_pred", "confidence", confidence)
        return np.column_stack([rows, confidence])

    def _real_objects(self, argument, image, size):
        """Return rows of class, x, y, width, height, and which objects aren't padding."""
        image = {**image, "boxes": image["boxes"].astype(np.float64).reshape(-1, 4)}
        classes = check_classes(argument, "boxes", image, self.num_classes)
        is_real = classes >= 0
        boxes = image["boxes"][is_real]
        check_finite(argument, "boxes", boxes)
        boxes = convert_box_format(boxes, self.bounding_box_format, "xywh", size, np.stack)
        return np.column_stack([classes[is_real], boxes]), is_real

    def _names(self):
        return self.class_names or tuple(str(label) for label in range(self.num_classes))

    def _rows(self):
        """Return all true boxes and all detections, as `evaluate_by_class` takes them."""
        return tuple(map(numbered_rows, self._entries()))

    def _evaluated(self):
        if self._evaluation is None:
            self._evaluation = evaluate_by_class(*self._rows(), self.num_classes)
        return self._evaluation


def _check_share(argument, value, is_zero_allowed=True):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1 or (value == 0 and not is_zero_allowed):
        least = "in 0..1" if is_zero_allowed else "above 0, and 1 at most"
        raise ValueError(f"`{argument}` must be a number {least}. Received: {value!r}.")
