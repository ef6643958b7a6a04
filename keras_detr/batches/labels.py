"""The labels of objects: 0-based, whole, below the number of classes, and not too many."""

import numpy as np

from keras_detr.batches.image_ids import id_in_brackets
from keras_detr.ops.linear_assignment import describe_surplus


def check_labels(classes, num_classes, image_ids=None):
    """Check that every label names a class or is padding.

    Args:
        classes: NumPy array (images, objects); -1 is padding.
        num_classes: int, labels run from 0 to `num_classes - 1`.
        image_ids: sequence with the id of each image, for the message; None where they have none.

    Raises:
        ValueError: a label is out of range; the message shows it.
    """
    classes = np.asarray(classes)
    is_wrong = ~((classes >= -1) & (classes < num_classes) & (classes == np.round(classes)))
    if is_wrong.any():
        wrong = ", ".join(str(label) for label in np.unique(classes[is_wrong])[:5])
        place = tuple(int(index[0]) for index in np.nonzero(is_wrong))
        named = "" if image_ids is None else f", image_id {image_ids[place[0]]}"
        raise ValueError(
            f"`classes` must be whole numbers from 0 to {num_classes - 1} (num_classes - 1), or "
            f"-1 for padding. Received: {wrong} (first at index {place}{named}). Labels are "
            "0-based, and none of them means no-object: subtract 1 from labels that start at 1, or "
            "map category ids to 0..N-1."
        )


def check_num_objects(is_object, num_queries, image_ids=None):
    """Check that every object can have a query of its own.

    Args:
        is_object: bool NumPy array (images, objects), the objects that the loss matches.
        num_queries: int, how many objects the model can find in an image.
        image_ids: as in `check_labels`.

    Raises:
        ValueError: an image has more objects; the message says which.
    """
    counts = is_object.sum(axis=1)
    if (counts > num_queries).any():
        index = int(np.argmax(counts))
        image = f"`boxes`: image {index}{id_in_brackets(index, image_ids)} of the batch"
        raise ValueError(describe_surplus(counts[index], num_queries, image))
