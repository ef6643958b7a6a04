"""Check a training batch: its structure and shapes, then images, labels and boxes."""

from typing import Any

import keras
import numpy as np

from keras_detr.batches.arrays import numpy_parts
from keras_detr.batches.boxes import check_boxes
from keras_detr.batches.carried_format import check_carried_format
from keras_detr.batches.image_ids import known_image_ids
from keras_detr.batches.image_sizes import unpadded_sizes
from keras_detr.batches.images import check_images
from keras_detr.batches.labels import check_labels, check_num_objects
from keras_detr.batches.masks import dense_masks
from keras_detr.batches.row_entries import check_row_entries
from keras_detr.batches.structure import batch_parts, input_parts
from keras_detr.ops.boxes import check_box_format
from keras_detr.ops.numpy_arrays import to_numpy


def check_training_batch(
    x: Any,
    bounding_boxes: dict[str, Any],
    num_classes: int,
    bounding_box_format: str,
    dropped_boxes: Any = None,
    num_queries: int | None = None,
    image_range: Any = None,
    has_masks: bool = False,
) -> dict[str, Any]:
    """Check a batch of arrays, and return its boxes dense.

    Args:
        x: images (batch, height, width, 3), or a dict of "images" and perhaps "pixel_mask"
            (batch, height, width), 1 image and 0 padding at the bottom and right, "image_id"
            (batch,), by which messages name images, and "bounding_box_format", str.
        bounding_boxes: dict of "boxes" (batch, N, 4) and "classes" (batch, N), 0-based, -1 for
            padding; or, for each, a list with one array an image. "masks" are (batch, N, height,
            width) of the padded images, likewise. Other keys are left aside; "area", "is_crowd"
            and "masks" must have as many rows.
        num_classes: int, classes must be below it.
        bounding_box_format: str, one of `keras_detr.ops.boxes.BOX_FORMATS`.
        dropped_boxes: `DroppedBoxes` that reports boxes without area, or None.
        num_queries: int, how many objects with an area an image can have at most, or None.
        image_range: `ImageRange` that reports images of other values than a model takes, or None.
        has_masks: bool, whether there must be masks.

    Returns:
        dict of NumPy arrays, "boxes" float32 (batch, N, 4) and "classes" int32 (batch, N), -1
        where an image has fewer boxes; and "masks" bool (batch, N, height, width) if `has_masks`.

    Raises:
        ValueError: the batch carries another format; images aren't finite; boxes, classes or what
            has one row a box have another shape or length; a class isn't a whole number in
            [-1, num_classes); a real box isn't finite or lies wholly outside its image; an image
            has too many objects.

    Example:
        ```python
        import numpy as np
        from keras_detr.batches import check_training_batch

        images = np.full((2, 32, 32, 3), 99, "uint8")
        # The images have two objects and one.
        boxes = [np.array([[2.0, 2, 9, 9], [5, 5, 20, 30]]), np.array([[1.0, 1, 8, 8]])]
        classes = [np.array([0, 1]), np.array([1])]
        dense = check_training_batch(images, {"boxes": boxes, "classes": classes}, 2, "xyxy")
        print(dense["classes"])  # [[0, 1], [1, -1]]
        ```
    """
    check_box_format(bounding_box_format)
    parts = numpy_parts(batch_parts((x, bounding_boxes), has_masks))
    images, pixel_mask, boxes, classes, image_ids, carried_format, entries = parts
    check_carried_format(carried_format, bounding_box_format)
    image_ids = known_image_ids(image_ids, len(images))
    check_row_entries(bounding_boxes["boxes"], entries, image_ids)
    check_images(images, image_ids, image_range, pixel_mask)
    check_labels(classes, num_classes, image_ids)
    heights, widths = unpadded_sizes(images, pixel_mask)
    is_object = classes >= 0
    is_empty = check_boxes(boxes, is_object, heights, widths, bounding_box_format, image_ids)
    if num_queries is not None:
        check_num_objects(is_object & ~is_empty, num_queries, image_ids)
    if dropped_boxes is not None:
        dropped_boxes.report(boxes, is_empty, image_ids)
    targets = {"boxes": boxes, "classes": classes.astype(np.int32)}
    if has_masks:
        targets["masks"] = dense_masks(
            entries["masks"], boxes.shape[1], images.shape[1:3], image_ids
        )
    return targets


def check_inputs(x: Any, image_range: Any = None) -> None:
    """Check a model's inputs.

    Args:
        x: as in `check_training_batch`.
        image_range: as in `check_training_batch`.

    Raises:
        ValueError: images or mask have another shape or type, or an image holds NaN or infinity;
            the message says which.

    Example:
        ```python
        import numpy as np
        from keras_detr.batches import check_inputs

        images = np.full((1, 32, 32, 3), 99.0, "float32")
        check_inputs({"images": images, "pixel_mask": np.ones((1, 32, 32), "uint8")})
        ```
    """
    images, pixel_mask, image_ids = input_parts(x)
    if not keras.ops.is_tensor(images):
        images = to_numpy(images)
    image_ids = known_image_ids(image_ids, images.shape[0])
    check_images(images, image_ids, image_range, pixel_mask)
