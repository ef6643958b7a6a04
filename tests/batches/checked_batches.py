"""Batches for training, and the two ways that they are checked."""

import numpy as np
import tensorflow as tf

from keras_detr.batches import check_training_batch, checked_training_batches

REFUSALS = (ValueError, tf.errors.InvalidArgumentError)
HEIGHT, WIDTH = 30, 40


def through_arrays(
    x, bounding_boxes, num_classes=3, bounding_box_format="xyxy", dropped=None, num_queries=None
):
    return check_training_batch(
        x, bounding_boxes, num_classes, bounding_box_format, dropped, num_queries
    )


def through_data_set(
    x, bounding_boxes, num_classes=3, bounding_box_format="xyxy", dropped=None, num_queries=None
):
    dataset = tf.data.Dataset.from_tensors((x, bounding_boxes))
    checked = checked_training_batches(
        dataset, num_classes, bounding_box_format, dropped, num_queries
    )
    return next(checked.as_numpy_iterator())[1]


def batch(**changes):
    parts = {
        "images": np.zeros((2, HEIGHT, WIDTH, 3), np.float32),
        "boxes": np.array([[[2, 3, 10, 20], [0, 0, 40, 30]], [[5, 5, 9, 9], [-1] * 4]], np.float32),
        "classes": np.array([[0, 2], [1, -1]], np.int32),
        **changes,
    }
    x = parts["images"]
    if {"pixel_mask", "image_id"} & set(parts):
        x = {key: parts[key] for key in ("images", "pixel_mask", "image_id") if key in parts}
    return x, {"boxes": parts["boxes"], "classes": parts["classes"]}


def changed(array, index, value, dtype=None):
    array = np.array(array, dtype)
    array[index] = value
    return array


def mask(height, width):
    pixels = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    pixels[:, :height, :width] = 1
    return pixels


IMAGES, BOXES, CLASSES = batch()[0], batch()[1]["boxes"], batch()[1]["classes"]
