"""Report the boxes that training leaves out."""

import logging

import numpy as np

logger = logging.getLogger("keras_detr")

_NUM_EXAMPLES = 3


class DroppedBoxes:
    """Log once, with their images, which boxes of a data set the loss leaves out.

    The loss counts all of them, in the logs of `fit` as "dropped_boxes".

    Example:
        ```python
        import numpy as np
        from keras_detr.batches import DroppedBoxes, check_training_batch

        images = np.full((1, 32, 32, 3), 99, "uint8")
        boxes = {"boxes": np.array([[[4.0, 4.0, 4.0, 9.0]]]), "classes": np.array([[0]])}
        # Logs that a box has no area.
        check_training_batch(images, boxes, 1, "xyxy", dropped_boxes=DroppedBoxes())
        ```
    """

    def __init__(self) -> None:
        self._is_reported = False

    def report(self, boxes, is_empty, image_ids=None):
        """Log the boxes of a batch that have no area, if none have been logged yet.

        Args:
            boxes: (batch, N, 4), in the format of the data set.
            is_empty: bool (batch, N), which of them have no area.
            image_ids: (batch,), the ids of the images, or `None` where these have none.
        """
        if self._is_reported or not is_empty.any():
            return
        self._is_reported = True
        places = np.argwhere(is_empty)
        examples = [
            f"{boxes[image, position].tolist()} (box {position} of image {image} of its batch"
            + (")" if image_ids is None else f", image_id {image_ids[image]})")
            for image, position in places[:_NUM_EXAMPLES]
        ]
        logger.warning(
            "`boxes`: %d of a batch have no area inside of their image, and are left out of the "
            "loss: %s%s. Correct or remove them; 'dropped_boxes' in the logs counts all, and this "
            "line comes once.",
            len(places),
            ", ".join(examples),
            ", ..." if len(places) > _NUM_EXAMPLES else "",
        )
