"""The base of every layer that changes an image and its boxes together."""

import keras
import numpy as np
import tensorflow as tf

from keras_detr.ops.boxes import check_box_format, convert_box_format
from keras_detr.preprocessing.batched_elements import is_batched, map_batch
from keras_detr.preprocessing.runtime_checks import checked


class BoxAwareLayer(keras.layers.Layer):
    """Draw parameters once, then apply them to an image, its boxes and what belongs to them.

    An element is `{"images": (height, width, 3), "bounding_boxes": {"boxes": (N, 4),
    "classes": (N,)}}`. "bounding_boxes" may be missing (prediction) and may hold more entries
    with one row a box: "area", "is_crowd", "masks" (N, height, width), or any other. Entries
    beside "images" pass through. Boxes of class -1 are padding and stay as they are.

    A batch has one more axis in front, dense or ragged, and draws anew for each of its images.
    Ragged entries come back ragged; dense images come back ragged from a layer that gives them
    several sizes; dense boxes come back dense, with as many rows as before.

    The layer runs TensorFlow operations whatever the Keras backend is, so that
    `dataset.map(layer)` works under each. NumPy arrays give NumPy arrays (a list of them where
    their sizes differ).

    A subclass names the box format its arithmetic is exact in (`working_format`; None leaves
    boxes as they are) and overrides `draw`, `transform_images`, `transform_boxes`,
    `transform_masks` and, where boxes are dropped or further entries change, `transform_rows`.

    Args:
        bounding_box_format: str, the format of the boxes that come and go, one of
            `keras_detr.ops.boxes.BOX_FORMATS`.

    Raises:
        ValueError: the format is missing or unknown; at the call, the element isn't an
            unpadded image with boxes (N, 4) and classes (N,), nor a batch of these.
    """

    working_format = None
    # Whether images of one size may come back in several sizes.
    is_size_random = False

    def __init__(self, *, bounding_box_format=None, **kwargs):
        super().__init__(**kwargs)
        check_box_format(bounding_box_format)
        self.bounding_box_format = bounding_box_format

    def __call__(self, element):
        # Keras' own __call__ would turn the tensors of tf.data into the backend's.
        return self.call(element)

    def call(self, element):
        _check_structure(element, self.name)
        if _is_tensor(element["images"]):
            return self._transform(element)
        with tf.device("CPU:0"):
            return _map_arrays(_to_numpy, self._transform(element))

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

    def transform_masks(self, masks, parameters):
        """Return the transformed masks (N, height, width), of the same dtype."""
        raise NotImplementedError(
            f"{type(self).__name__} can't transform the entry 'masks' of `bounding_boxes`. "
            "Take it out of the element, or implement `transform_masks`."
        )

    def transform_rows(self, rows, parameters):
        """Return entries with one row a box, after boxes and masks were transformed.

        Args:
            rows: dict of tensors: "boxes" in `working_format`, "classes", and further entries.
            parameters: dict, from `draw`.
        """
        return rows

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
        sizes = _image_size(element["images"]), _image_size(result["images"])
        result["bounding_boxes"] = self._transform_bounding_boxes(
            element["bounding_boxes"], parameters, *sizes
        )
        return result

    def get_config(self):
        return {**super().get_config(), "bounding_box_format": self.bounding_box_format}

    def _transform(self, element):
        element = _map_arrays(_to_tensor, element)
        if is_batched(element):
            return map_batch(self._transform_one, element, self.is_size_random)
        return self._transform_one(element)

    def _transform_one(self, element):
        if "bounding_boxes" in element:
            element = {
                **element,
                "bounding_boxes": _typed_boxes(element["bounding_boxes"], self.name),
            }
        return self.apply(element, self.draw(element))

    def _transform_bounding_boxes(self, bounding_boxes, parameters, size_before, size_after):
        rows = bounding_boxes
        if self.working_format is not None:
            rows = self._convert(rows, self.bounding_box_format, self.working_format, size_before)
        rows = {**rows, "boxes": self.transform_boxes(rows["boxes"], parameters)}
        if "masks" in rows:
            rows["masks"] = self.transform_masks(rows["masks"], parameters)
        rows = self.transform_rows(rows, parameters)
        if self.working_format is None:
            return rows
        rows = self._convert(rows, self.working_format, self.bounding_box_format, size_after)
        return _restore_padding(rows)

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


def _is_ragged(array):
    return isinstance(array, tf.RaggedTensor)


def _is_tensor(array):
    return tf.is_tensor(array) or _is_ragged(array)


def _to_tensor(array):
    return array if _is_tensor(array) else tf.convert_to_tensor(np.asarray(array))


def _to_numpy(array):
    if _is_ragged(array):
        return [_to_numpy(row.to_tensor() if _is_ragged(row) else row) for row in array]
    return np.asarray(array)


def _check_structure(element, layer):
    if not isinstance(element, dict) or "images" not in element:
        raise ValueError(
            f"`{layer}` takes a dict with the key 'images' (and 'bounding_boxes'). "
            f"Received: {sorted(element) if isinstance(element, dict) else type(element)}."
        )
    shape = _shape(element["images"])
    if shape is not None and len(shape) not in (3, 4):
        raise ValueError(
            f"`{layer}` takes an image (height, width, 3), or a batch of images (batch, height, "
            f"width, 3), dense or ragged. Received `images` of shape {shape}."
        )
    if "pixel_mask" in element:
        raise ValueError(
            f"`{layer}` takes images that aren't padded yet, and the element has a 'pixel_mask'. "
            "Make `PadToCanvas` the last layer of the pipeline."
        )
    if "bounding_boxes" in element:
        num_axes = None if shape is None else len(shape) - 3
        _check_boxes_structure(element["bounding_boxes"], num_axes, layer)


def _check_boxes_structure(bounding_boxes, num_batch_axes, layer):
    if not isinstance(bounding_boxes, dict) or not {"boxes", "classes"} <= set(bounding_boxes):
        received = bounding_boxes
        received = sorted(received) if isinstance(received, dict) else type(received)
        raise ValueError(
            f"`{layer}` needs `bounding_boxes` to be a dict with 'boxes' and 'classes'. "
            f"Received: {received}."
        )
    if num_batch_axes is None:
        return
    batch = "batch, " if num_batch_axes else ""
    shape = _shape(bounding_boxes["boxes"])
    if shape is not None and (len(shape) != 2 + num_batch_axes or shape[-1] not in (4, None)):
        raise ValueError(
            f"`{layer}` needs `boxes` of the shape ({batch}N, 4), as its images are "
            f"({batch}height, width, 3). Received shape: {shape}."
        )
    shape = _shape(bounding_boxes["classes"])
    if shape is not None and len(shape) != 1 + num_batch_axes:
        raise ValueError(
            f"`{layer}` needs `classes` of the shape ({batch}N). Received shape: {shape}."
        )


def _shape(array):
    """Return a shape with None for what tf.data doesn't know while it traces."""
    if not _is_tensor(array):
        return np.shape(array)
    return None if array.shape.rank is None else tuple(array.shape)
