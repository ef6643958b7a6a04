"""The base of every layer that changes an image and its boxes together."""

import keras
import numpy as np
import tensorflow as tf

from keras_detr.ops.boxes import check_box_format, convert_box_format
from keras_detr.preprocessing.runtime_checks import checked


class BoxAwareLayer(keras.layers.Layer):
    """Draw parameters once, then apply them to an image, its boxes and what belongs to them.

    An element is `{"images": (height, width, 3), "bounding_boxes": {"boxes": (N, 4),
    "classes": (N,)}}`. "bounding_boxes" may be missing (prediction) and may hold more entries
    with one row a box ("area", "is_crowd"); entries beside "images" pass through. Boxes of
    class -1 are padding and stay as they are.

    The layer runs TensorFlow operations whatever the Keras backend is, so that
    `dataset.map(layer)` works under each. An element of NumPy arrays gives NumPy arrays.

    A subclass names the box format its arithmetic is exact in (`working_format`; None leaves
    boxes as they came) and overrides `draw`, `transform_images`, `transform_boxes` and, where
    entries beside the boxes change too, `transform_bounding_boxes`.

    Args:
        bounding_box_format: str, the format of the boxes that come and go, one of
            `keras_detr.ops.boxes.BOX_FORMATS`.

    Raises:
        ValueError: the format is missing or unknown; at the call, the element isn't one
            unbatched, unpadded image with boxes (N, 4) and classes (N,).
    """

    working_format = None

    def __init__(self, *, bounding_box_format=None, **kwargs):
        super().__init__(**kwargs)
        check_box_format(bounding_box_format)
        self.bounding_box_format = bounding_box_format

    def __call__(self, element):
        # Keras' own __call__ would turn the tensors of tf.data into the backend's.
        return self.call(element)

    def call(self, element):
        _check_structure(element, self.name)
        if tf.is_tensor(element["images"]):
            return self._transform(element)
        with tf.device("CPU:0"):
            return _map_arrays(np.asarray, self._transform(_map_arrays(np.asarray, element)))

    def draw(self, element):
        """Return the parameters of this element's transformation, by default none.

        Args:
            element: dict of tensors, before the transformation.

        Returns:
            dict of tensors or numbers, handed to every `transform_*` method.
        """
        return {}

    def transform_images(self, images, parameters):
        """Return the transformed image (height, width, 3)."""
        return images

    def transform_boxes(self, boxes, parameters):
        """Return the transformed boxes (N, 4), both in `working_format`."""
        return boxes

    def transform_bounding_boxes(self, bounding_boxes, parameters):
        """Return "boxes" (in `working_format`), "classes" and further entries, transformed."""
        boxes = self.transform_boxes(bounding_boxes["boxes"], parameters)
        return {**bounding_boxes, "boxes": boxes}

    def apply(self, element, parameters):
        """Transform an element with parameters drawn before.

        Args:
            element: dict of tensors.
            parameters: dict, from `draw`.

        Returns:
            dict of tensors, of the same structure.
        """
        result = dict(element)
        result["images"] = self.transform_images(element["images"], parameters)
        if "bounding_boxes" not in element:
            return result
        came = element["bounding_boxes"]
        if self.working_format is None:
            result["bounding_boxes"] = self.transform_bounding_boxes(came, parameters)
            return result
        size_before = _image_size(element["images"])
        size_after = _image_size(result["images"])
        there = self._convert(came, self.bounding_box_format, self.working_format, size_before)
        there = self.transform_bounding_boxes(there, parameters)
        back = self._convert(there, self.working_format, self.bounding_box_format, size_after)
        result["bounding_boxes"] = _restore_padding(back)
        return result

    def get_config(self):
        return {**super().get_config(), "bounding_box_format": self.bounding_box_format}

    def _transform(self, element):
        element = _map_arrays(tf.convert_to_tensor, element)
        if "bounding_boxes" in element:
            element = {
                **element,
                "bounding_boxes": _typed_boxes(element["bounding_boxes"], self.name),
            }
        return self.apply(element, self.draw(element))

    def _convert(self, bounding_boxes, source, target, image_size):
        boxes = convert_box_format(
            bounding_boxes["boxes"], source, target, image_size, stack=tf.stack
        )
        return {**bounding_boxes, "boxes": boxes}


def _image_size(images):
    size = tf.cast(tf.shape(images)[:2], tf.float32)
    return size[0], size[1]


def _restore_padding(bounding_boxes):
    is_padding = bounding_boxes["classes"][:, None] < 0
    boxes = tf.where(is_padding, tf.constant(-1.0, tf.float32), bounding_boxes["boxes"])
    return {**bounding_boxes, "boxes": boxes}


def _typed_boxes(bounding_boxes, layer):
    boxes = tf.cast(bounding_boxes["boxes"], tf.float32)
    classes = bounding_boxes["classes"]
    num_boxes, num_classes = tf.shape(boxes)[0], tf.shape(classes)[0]
    boxes = checked(
        boxes,
        tf.equal(num_boxes, num_classes),
        [f"{layer}: `boxes` and `classes` of one image differ in number:", num_boxes, num_classes],
    )
    if classes.dtype.is_floating:
        fraction = tf.boolean_mask(classes, tf.not_equal(classes, tf.round(classes)))
        classes = checked(
            classes,
            tf.equal(tf.size(fraction), 0),
            [f"{layer}: `classes` must be whole numbers, 0-based. Received:", fraction],
        )
    return {**bounding_boxes, "boxes": boxes, "classes": tf.cast(classes, tf.int32)}


def _map_arrays(function, element):
    if isinstance(element, dict):
        return {key: _map_arrays(function, value) for key, value in element.items()}
    return function(element)


def _check_structure(element, layer):
    if not isinstance(element, dict) or "images" not in element:
        raise ValueError(
            f"`{layer}` takes a dict with the key 'images' (and 'bounding_boxes'). "
            f"Received: {sorted(element) if isinstance(element, dict) else type(element)}."
        )
    shape = _shape(element["images"])
    if shape is not None and len(shape) != 3:
        raise ValueError(
            f"`{layer}` takes one image (height, width, 3) at a time. Received `images` of shape "
            f"{shape}: map the layer before `.batch()`."
        )
    if "pixel_mask" in element:
        raise ValueError(
            f"`{layer}` takes images that aren't padded yet, and the element has a 'pixel_mask'. "
            "Make `PadToCanvas` the last layer of the pipeline."
        )
    if "bounding_boxes" in element:
        _check_boxes_structure(element["bounding_boxes"], layer)


def _check_boxes_structure(bounding_boxes, layer):
    if not isinstance(bounding_boxes, dict) or not {"boxes", "classes"} <= set(bounding_boxes):
        received = bounding_boxes
        received = sorted(received) if isinstance(received, dict) else type(received)
        raise ValueError(
            f"`{layer}` needs `bounding_boxes` to be a dict with 'boxes' and 'classes'. "
            f"Received: {received}."
        )
    shape = _shape(bounding_boxes["boxes"])
    if shape is not None and (len(shape) != 2 or shape[1] not in (4, None)):
        raise ValueError(
            f"`{layer}` takes the `boxes` of one image, shape (N, 4). Received shape: {shape}."
        )
    shape = _shape(bounding_boxes["classes"])
    if shape is not None and len(shape) != 1:
        raise ValueError(
            f"`{layer}` takes the `classes` of one image, shape (N,). Received shape: {shape}."
        )


def _shape(array):
    """Return a shape with None for what tf.data doesn't know while it traces."""
    if not tf.is_tensor(array):
        return np.shape(array)
    return None if array.shape.rank is None else tuple(array.shape)
