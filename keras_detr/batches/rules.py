"""The rules for a batch's images, boxes and labels, in NumPy. TensorFlow isn't needed."""

import itertools

import keras
import numpy as np

from keras_detr.batches.boxes import OUTSIDE_ADVICE, has_area, is_outside
from keras_detr.batches.image_sizes import unpadded_sizes
from keras_detr.batches.shapes import check_box_shapes, check_numbers, described
from keras_detr.batches.structure import input_parts, x_and_box_parts
from keras_detr.ops.boxes import check_box_format
from keras_detr.ops.labels import check_labels


def check_training_batch(x, bounding_boxes, num_classes, bounding_box_format, dropped_boxes=None):
    """Check a batch of arrays, and return its boxes dense.

    Args:
        x: images (batch, height, width, 3), or a dict of "images" and perhaps "pixel_mask"
            (batch, height, width), 1 image and 0 padding at the bottom and right, and "image_id"
            (batch,), by which messages name images.
        bounding_boxes: dict of "boxes" (batch, N, 4) and "classes" (batch, N), 0-based, -1 for
            padding; or, for each, a list with one array an image. Other keys are left aside.
        num_classes: int, classes must be below it.
        bounding_box_format: str, one of `keras_detr.ops.boxes.BOX_FORMATS`.
        dropped_boxes: `DroppedBoxes` that reports boxes without area, or None.

    Returns:
        dict of NumPy arrays, "boxes" float32 (batch, N, 4) and "classes" int32 (batch, N), -1
        where an image has fewer boxes.

    Raises:
        ValueError: images aren't finite; boxes or classes have another shape or length; a
            class isn't a whole number in [-1, num_classes); a real box isn't finite or lies
            wholly outside its image.
    """
    check_box_format(bounding_box_format)
    parts = x_and_box_parts(x, bounding_boxes)
    images = to_numpy(parts.images)
    pixel_mask = None if parts.pixel_mask is None else to_numpy(parts.pixel_mask)
    sizes = unpadded_sizes(images, pixel_mask)
    height, width = (np.broadcast_to(side, len(images))[:, None] for side in sizes)
    boxes, classes = _dense(_rows(parts.boxes, "boxes"), _rows(parts.classes, "classes"))
    check_box_shapes(images, boxes, classes)
    image_ids = _image_ids(parts.image_ids, len(images))
    _check_images(images, image_ids)
    check_labels(classes, num_classes, image_ids)
    # Padding may hold anything, NaN and infinity too.
    is_real = classes >= 0
    real_boxes = np.where(is_real[..., None], boxes, 0)
    _check_boxes(real_boxes, is_real, height, width, bounding_box_format, image_ids)
    if dropped_boxes is not None:
        is_empty = is_real & ~has_area(real_boxes, height, width, bounding_box_format, np)
        places = np.argwhere(is_empty)
        of_places = () if image_ids is None else image_ids[places[:, 0]]
        dropped_boxes.tell(boxes[is_empty], places, of_places)
    return {"boxes": boxes.astype(np.float32), "classes": classes.astype(np.int32)}


def check_inputs(x):
    """Check a model's inputs.

    Args:
        x: as in `check_training_batch`.

    Raises:
        ValueError: images or mask have another shape or type, or an image holds NaN or infinity;
            the message says which.
    """
    images, _, image_ids = input_parts(x)
    _check_images(to_numpy(images), _image_ids(image_ids, len(images)))


def _check_images(images, image_ids):
    for index, image in enumerate(images):
        if not _is_finite(image):
            raise ValueError(
                f"`images` must be finite. Image {index} of the batch{_named(image_ids, index)} "
                "holds NaN or infinity."
            )


def _is_finite(image):
    if np.issubdtype(image.dtype, np.integer) or image.dtype == bool:
        return True
    # A sum is the fastest look at all values, and needs no memory. It isn't finite if one value
    # isn't; large values may overflow, and are looked at one by one.
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.sum(image, dtype=np.float32 if image.dtype.itemsize < 4 else None)
    return bool(np.isfinite(total) or np.isfinite(image).all())


def _image_ids(image_ids, num_images):
    """Return an array of one id an image, or None where it isn't that."""
    if isinstance(image_ids, (list, tuple)):
        image_ids = np.array(image_ids, dtype=object)
    elif len(getattr(image_ids, "shape", ())) == 1:
        image_ids = to_numpy(image_ids)
    if np.shape(image_ids) != (num_images,):
        return None
    if isinstance(image_ids[0], bytes):  # Strings of TensorFlow.
        return np.array([name.decode(errors="replace") for name in image_ids], dtype=object)
    return image_ids


def _named(image_ids, index):
    return "" if image_ids is None else f" (image_id {image_ids[index]})"


def to_numpy(value):
    """Return an array of any library as NumPy's."""
    if hasattr(value, "detach"):  # A tensor of torch, which may track gradients.
        value = value.detach().cpu()
    if isinstance(value, (np.ndarray, list, tuple, float, int)):
        return np.asarray(value)
    return keras.ops.convert_to_numpy(value)


def ragged_rows(flat_values, *nested_row_splits):
    """Return the rows of a ragged tensor.

    Args:
        flat_values: array, the values of all rows.
        *nested_row_splits: arrays of int, the row splits of every ragged axis, the first axis
            first; without any the tensor is dense.

    Returns:
        list with an array, or a list of such lists, for each row; `flat_values` of a dense one.
    """
    rows = flat_values
    for splits in reversed(nested_row_splits):
        rows = [rows[start:end] for start, end in itertools.pairwise(splits)]
    return rows


def _rows(value, name):
    """Return an array, or a list with an array an image."""
    try:
        if hasattr(value, "row_splits"):  # A ragged tensor of TensorFlow.
            value = ragged_rows(*map(to_numpy, (value.flat_values, *value.nested_row_splits)))
        if isinstance(value, (list, tuple)):
            rows = [to_numpy(row) for row in value]
        else:
            array = to_numpy(value)
            is_of_rows = array.dtype == object and array.ndim == 1
            rows = [to_numpy(row) for row in array] if is_of_rows else array
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be an array of numbers, or a list with one such array an image. "
            f"Received: {described(value)}."
        ) from error
    for row in rows if isinstance(rows, list) else [rows]:
        check_numbers(row, name)
    return rows


def _dense(boxes, classes):
    if isinstance(classes, list):
        classes = [
            np.reshape(row, (-1,)) if np.size(row) == 0 else np.asarray(row) for row in classes
        ]
        if any(row.ndim != 1 for row in classes):
            raise ValueError(
                "`classes` of an image must have the shape (N,). "
                f"Received: {next(row.shape for row in classes if row.ndim != 1)}."
            )
    if isinstance(boxes, list):
        boxes = [np.reshape(row, (0, 4)) if np.size(row) == 0 else np.asarray(row) for row in boxes]
        for index, row in enumerate(boxes):
            if row.ndim != 2 or row.shape[-1] != 4:
                raise ValueError(
                    "`boxes` of an image must have the shape (N, 4). "
                    f"Received: {row.shape} for image {index}."
                )
    if isinstance(boxes, list) and isinstance(classes, list):
        for index, (box_row, class_row) in enumerate(zip(boxes, classes, strict=False)):
            if len(box_row) != len(class_row):
                raise ValueError(
                    "`boxes` and `classes` must agree in length. Received: "
                    f"{len(box_row)} boxes and {len(class_row)} classes for image {index}."
                )
    return _stacked(boxes, (4,), np.float32), _stacked(classes, (), None)


def _stacked(rows, row_shape, dtype):
    if not isinstance(rows, list):
        return rows if dtype is None else rows.astype(dtype)
    longest = max((len(row) for row in rows), default=0)
    dtype = dtype or np.result_type(np.int32, *(row.dtype for row in rows if row.size))
    dense = np.full((len(rows), longest, *row_shape), -1, dtype)
    for index, row in enumerate(rows):
        dense[index, : len(row)] = row
    return dense


def _check_boxes(boxes, is_real, height, width, bounding_box_format, image_ids):
    is_broken = is_real & ~np.isfinite(boxes).all(-1)
    if is_broken.any():
        image, position = np.argwhere(is_broken)[0]
        raise ValueError(
            f"`boxes` must be finite. Received: {boxes[image, position].tolist()} for box "
            f"{position} of image {image}{_named(image_ids, image)}."
        )
    outside = is_real & is_outside(boxes, height, width, bounding_box_format, np)
    if outside.any():
        image, position = np.argwhere(outside)[0]
        raise ValueError(
            f"`boxes`: the box {boxes[image, position].tolist()} lies outside its image of "
            f"(height, width) ({height[image, 0]}, {width[image, 0]}) in the format "
            f"`{bounding_box_format}` (box {position} of image {image}"
            f"{_named(image_ids, image)}). {OUTSIDE_ADVICE}"
        )
