"""How messages name the images of a batch."""

import numpy as np

from keras_detr.ops.numpy_arrays import to_numpy


def known_image_ids(image_ids, num_images):
    """Return ids, an array of any library or a list, as an array; `None` if that isn't one each."""
    if isinstance(image_ids, (list, tuple)):
        image_ids = np.array(image_ids, dtype=object)
    elif len(getattr(image_ids, "shape", ())) == 1:
        image_ids = to_numpy(image_ids)
    if np.shape(image_ids) != (num_images,):
        return None
    if isinstance(image_ids[0], bytes):  # Strings of TensorFlow.
        return np.array([name.decode(errors="replace") for name in image_ids], dtype=object)
    return image_ids


def id_in_brackets(index, image_ids=None):
    """Return what a message says after the place of an image: " (image_id 7)", or nothing."""
    return "" if image_ids is None else f" (image_id {image_ids[index]})"
