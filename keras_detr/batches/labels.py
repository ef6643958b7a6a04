"""The labels of objects: 0-based, whole, and below the number of classes."""

import numpy as np


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
