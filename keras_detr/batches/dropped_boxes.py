"""Boxes that training leaves out, told once. TensorFlow isn't needed."""

import logging

import numpy as np

logger = logging.getLogger("keras_detr")

_NUM_EXAMPLES = 3


class DroppedBoxes:
    """Tell once, with their images, which boxes of a data set the loss leaves out.

    The loss counts all of them, in the logs of `fit` as "dropped_boxes".
    """

    def __init__(self):
        self._is_told = False

    def tell(self, boxes, places, image_ids=()):
        """Log the boxes of a batch that have no area, if nothing has been logged yet.

        Args:
            boxes: (K, 4), in the format they came in.
            places: int (K, 2), image and box in the batch.
            image_ids: (K,), the ids of their images, or empty where these have none.

        Returns:
            NumPy bool, whether there was something to tell; TensorFlow wants a value.
        """
        if self._is_told or not len(boxes):
            return np.bool_(False)
        self._is_told = True
        examples = [
            f"{box.tolist()} (box {place[1]} of image {place[0]} of its batch"
            + (f", image_id {image_ids[index]})" if len(image_ids) else ")")
            for index, (box, place) in enumerate(zip(boxes, places, strict=True))
        ]
        logger.warning(
            "`boxes`: %d of a batch have no area inside of their image, and are left out of the "
            "loss: %s%s. Correct or remove them; 'dropped_boxes' in the logs counts all, and this "
            "line comes once.",
            len(boxes),
            ", ".join(examples[:_NUM_EXAMPLES]),
            ", ..." if len(boxes) > _NUM_EXAMPLES else "",
        )
        return np.bool_(True)
