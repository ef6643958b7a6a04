"""Give images and box lists one shape, so that they can be batched."""

import keras
import tensorflow as tf

from keras_detr.preprocessing.assertions import checked
from keras_detr.preprocessing.box_aware_layer import BoxAwareLayer


@keras.saving.register_keras_serializable("keras_detr")
class PadToCanvas(BoxAwareLayer):
    """Pad an image at its bottom and right to a canvas, and its boxes to a fixed number.

    Adds "pixel_mask", uint8 (canvas height, canvas width): 1 is image, 0 is padding. Padding
    boxes are -1 and have class -1; their other entries, masks too, are 0. Relative boxes stay
    relative to the image without its padding, so no box changes. It comes last in a pipeline.

    Args:
        canvas_size: pair of int (height, width) in pixels.
        max_boxes: int, the number of boxes every image comes out with.
        bounding_box_format: str, see `BoxAwareLayer`.

    Raises:
        tf.errors.InvalidArgumentError: at the call, an image is larger than the canvas or has
            more than `max_boxes` boxes. Nothing is cropped or dropped silently.
    """

    def __init__(self, canvas_size, *, max_boxes=None, bounding_box_format=None, **kwargs):
        super().__init__(bounding_box_format=bounding_box_format, **kwargs)
        if len(tuple(canvas_size)) != 2 or min(canvas_size) < 1:
            raise ValueError(
                "`canvas_size` must be (height, width) in pixels, both at least 1. "
                f"Received: {canvas_size!r}."
            )
        if max_boxes is None or max_boxes < 1:
            raise ValueError(
                "`max_boxes` must be the number of boxes every image is padded to, at least the "
                f"most boxes of one image. Received: {max_boxes!r}."
            )
        self.canvas_size = tuple(int(side) for side in canvas_size)
        self.max_boxes = max_boxes

    def apply(self, element, parameters):
        result = super().apply(element, parameters)
        mask = self._pad_bottom_right(tf.ones(tf.shape(element["images"])[:2], tf.uint8))
        return {**result, "pixel_mask": mask}

    def transform_images(self, images, parameters):
        return self._pad_bottom_right(images)

    def transform_masks(self, masks, parameters):
        return tf.transpose(self._pad_bottom_right(tf.transpose(masks, (1, 2, 0))), (2, 0, 1))

    def transform_rows(self, rows, parameters):
        num_boxes = tf.shape(rows["classes"])[0]
        rows = checked(
            rows,
            num_boxes <= self.max_boxes,
            [
                "PadToCanvas: an image has",
                num_boxes,
                f"boxes, more than `max_boxes` {self.max_boxes}. Pass a larger `max_boxes`.",
            ],
        )
        return {
            key: self._pad_rows(values, -1 if key in ("boxes", "classes") else 0)
            for key, values in rows.items()
        }

    def get_config(self):
        return {
            **super().get_config(),
            "canvas_size": self.canvas_size,
            "max_boxes": self.max_boxes,
        }

    def _pad_rows(self, values, value):
        missing = self.max_boxes - tf.shape(values)[:1]
        return _padded(values, [[0], missing], (self.max_boxes,), value)

    def _pad_bottom_right(self, pixels):
        size = tf.shape(pixels)[:2]
        pixels = checked(
            pixels,
            tf.reduce_all(size <= self.canvas_size),
            [
                "PadToCanvas: an image of (height, width)",
                size,
                f"is larger than `canvas_size` {self.canvas_size}. Resize images before, with "
                "`ResizeShortestSide`, or choose a larger canvas.",
            ],
        )
        bottom_right = tf.constant(self.canvas_size) - tf.shape(pixels)[:2]
        return _padded(pixels, [[0, 0], bottom_right], self.canvas_size, 0)


def _padded(array, before_and_after, shape, value):
    """Pad the first axes of an array to `shape`, after its size was checked."""
    # Where tf.data knows a size that is too large already while it traces, the graph must still
    # be built for the check in it to speak.
    padding = tf.maximum(tf.transpose(tf.stack(before_and_after)), 0)
    num_others = array.shape.rank - len(shape)
    padding = tf.concat([padding, tf.zeros([num_others, 2], tf.int32)], axis=0)
    padded = tf.pad(array, padding, constant_values=tf.cast(value, array.dtype))
    if not padded.shape[: len(shape)].is_compatible_with(shape):
        padded = padded[tuple(slice(length) for length in shape)]
    return tf.ensure_shape(padded, (*shape, *array.shape[len(shape) :]))
