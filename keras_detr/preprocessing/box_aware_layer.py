"""The base of every layer that changes an image and its boxes together."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_detr.batches.carried_format import FORMAT_ENTRY, format_mismatch
from keras_detr.batches.structure import check_element
from keras_detr.ops.backends import current
from keras_detr.ops.boxes import check_box_format, convert_box_format
from keras_detr.preprocessing.assertions import checked
from keras_detr.preprocessing.batched_elements import is_batched, map_batch
from keras_detr.preprocessing.padding import checked_rows


class BoxAwareLayer(keras.layers.Layer):
    """Draw parameters once, then apply them to an image, its boxes and what belongs to them.

    An element is `{"images": (height, width, 3), "bounding_boxes": {"boxes": (N, 4),
    "classes": (N,)}}`. "bounding_boxes" may be missing (prediction) and may hold more entries
    with one row a box: "area", "is_crowd", "masks" (N, height, width), or any other. Entries
    beside "images" pass through; "bounding_box_format", which the loaders of `keras_detr.datasets`
    add, must be the layer's. Boxes of class -1 are padding and stay as they are.

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

    Example:
        ```python
        from keras_detr.preprocessing import BoxAwareLayer


        class UpsideDown(BoxAwareLayer):
            working_format = "rel_xyxy"

            def draw(self, element):
                return {}

            def transform_images(self, images, parameters):
                return images[::-1]

            def transform_boxes(self, boxes, parameters):
                left, top, right, bottom = (boxes[..., side] for side in range(4))
                return keras.ops.stack([left, 1 - bottom, right, 1 - top], axis=-1)


        turned = elements.map(UpsideDown(bounding_box_format="xyxy"))
        print(next(iter(turned))["bounding_boxes"]["boxes"])
        ```
    """

    working_format: str | None = None
    # Whether images of one size may come back in several sizes.
    is_size_random = False

    def __init__(self, *, bounding_box_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        current().reserve_gpus(tf.config)
        check_box_format(bounding_box_format)
        self.bounding_box_format = bounding_box_format

    def __call__(self, element):
        # Keras' own __call__ would turn the tensors of tf.data into the backend's.
        return self.call(element)

    def call(self, element):
        element = _as_arrays(element)
        try:
            check_element(element)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        if tf.is_tensor(element["images"]):
            return self._transform(element)
        with tf.device("CPU:0"):
            return tf.nest.map_structure(_to_numpy, self._transform(element))

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
        result = {**element, "images": self.transform_images(element["images"], parameters)}
        if "bounding_boxes" in element:
            sizes = _image_size(element["images"]), _image_size(result["images"])
            boxes = self._transform_bounding_boxes(element["bounding_boxes"], parameters, *sizes)
            result["bounding_boxes"] = boxes
        return result

    def size_after(self, size):
        """Return the size that an image of a size comes out with, without its pixels.

        Args:
            size: int32 tensor (2,), height and width in pixels.

        Returns:
            int32 tensor (2,). It is drawn, if it is random, as it is at the call.
        """
        image = tf.zeros((size[0], size[1], 0), tf.uint8)
        return tf.shape(self({"images": image})["images"])[:2]

    def get_config(self):
        return {**super().get_config(), "bounding_box_format": self.bounding_box_format}

    def _transform(self, element):
        element = tf.nest.map_structure(_to_tensor, element)
        # One format may stand for a whole batch, so it isn't one of the entries of an image.
        carried = {FORMAT_ENTRY: element.pop(FORMAT_ENTRY)} if FORMAT_ENTRY in element else {}
        if carried:
            element["images"] = self._of_own_format(element["images"], carried[FORMAT_ENTRY])
        if "bounding_boxes" in element:
            boxes = checked_rows(element["bounding_boxes"], self.name)
            element = {**element, "bounding_boxes": boxes}
        if is_batched(element):
            return {**map_batch(self._transform_one, element, self.is_size_random), **carried}
        return {**self._transform_one(element), **carried}

    def _of_own_format(self, images, carried):
        """Return images if the format that is carried with them is the layer's."""
        own = self.bounding_box_format
        is_own = tf.equal(carried, own)
        if is_own.shape.rank != 0:
            is_own = tf.reduce_all(is_own)
        return checked(images, is_own, [format_mismatch(own, self.name), carried])

    def _transform_one(self, element):
        if "bounding_boxes" in element:
            boxes = _typed_boxes(element["bounding_boxes"], self.name)
            if "masks" in boxes:
                boxes["masks"] = _checked_masks(boxes["masks"], element["images"], self.name)
            element = {**element, "bounding_boxes": boxes}
        return self.apply(element, self.draw(element))

    def _transform_bounding_boxes(self, bounding_boxes, parameters, size_before, size_after):
        own, working = self.bounding_box_format, self.working_format or self.bounding_box_format
        boxes = convert_box_format(bounding_boxes["boxes"], own, working, size_before, tf.stack)
        rows = {**bounding_boxes, "boxes": self.transform_boxes(boxes, parameters)}
        if "masks" in rows:
            rows["masks"] = self.transform_masks(rows["masks"], parameters)
        rows = self.transform_rows(rows, parameters)
        if self.working_format is None:
            return rows
        boxes = convert_box_format(rows["boxes"], working, own, size_after, tf.stack)
        is_padding = rows["classes"][:, None] < 0
        return {**rows, "boxes": tf.where(is_padding, tf.constant(-1.0, tf.float32), boxes)}


def _image_size(images):
    return tf.unstack(tf.cast(tf.shape(images)[:2], tf.float32), num=2)


def _typed_boxes(bounding_boxes, layer):
    boxes, classes = tf.cast(bounding_boxes["boxes"], tf.float32), bounding_boxes["classes"]
    if classes.dtype.is_floating:
        fraction = tf.boolean_mask(classes, tf.not_equal(classes, tf.round(classes)))
        classes = checked(
            classes,
            tf.equal(tf.size(fraction), 0),
            [f"{layer}: `classes` must be whole numbers, 0-based. Received:", fraction],
        )
    return {**bounding_boxes, "boxes": boxes, "classes": tf.cast(classes, tf.int32)}


def _checked_masks(masks, images, layer):
    size, image_size = tf.shape(masks)[1:], tf.shape(images)[:2]
    return checked(
        masks,
        tf.reduce_all(size == image_size),
        [
            f"{layer}: `masks` must have the height and the width of their image. Received:",
            size,
            "for an image of (height, width)",
            image_size,
        ],
    )


def _as_arrays(element):
    """Return an element with tensors and NumPy arrays only."""
    if isinstance(element, dict):
        return {key: _as_arrays(value) for key, value in element.items()}
    return element if tf.is_tensor(element) else np.asarray(element)


def _to_tensor(array):
    return array if tf.is_tensor(array) else tf.convert_to_tensor(array)


def _to_numpy(tensor):
    if isinstance(tensor, tf.RaggedTensor):
        rows = (row.to_tensor() if isinstance(row, tf.RaggedTensor) else row for row in tensor)
        return [np.asarray(row) for row in rows]
    return np.asarray(tensor)
