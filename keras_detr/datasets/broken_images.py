"""Images that TensorFlow fails at while a data set is read."""

import logging
import threading

import numpy as np
import tensorflow as tf

from keras_detr.preprocessing.image_reading import read_image

logger = logging.getLogger("keras_detr")


class BrokenImages:
    """Read what TensorFlow can't, with PIL, and account for what PIL can't read either.

    Args:
        paths: list of str.
        image_ids: int64 (images,).
        num_boxes: int (images,), how many boxes each has.
        report: `DataReport`.
        is_skipped: bool, whether an image that can't be read is skipped, logged and added to
            `report`, instead of having a complaint. The last one that is left has a complaint.
    """

    def __init__(self, paths, image_ids, num_boxes, report, *, is_skipped):
        self.is_skipped = is_skipped
        self._paths, self._image_ids, self._num_boxes = paths, image_ids, num_boxes
        self._report = report
        self._skipped = set()
        self._lock = threading.Lock()

    def decode(self, row):
        """Decode an image, in the graph of a data set.

        Args:
            row: int scalar tensor, which of the images.

        Returns:
            uint8 (height, width, 3), of no pixels if the image can't be read; str scalar, the
            complaint about it, empty if there is none.
        """
        pixels, complaint = tf.numpy_function(
            self._read, [row], (tf.uint8, tf.string), stateful=False
        )
        return tf.ensure_shape(pixels, (None, None, 3)), tf.ensure_shape(complaint, ())

    def _read(self, row):
        try:
            return read_image(self._paths[row], is_turned=False), b""
        except ValueError as error:
            complaint = "" if self._skip(int(row), str(error)) else str(error)
            return np.zeros((0, 0, 3), np.uint8), complaint.encode("utf-8", "backslashreplace")

    def _skip(self, row, complaint):
        """Return whether an image is skipped; the first time it is told."""
        with self._lock:
            if not self.is_skipped or (row not in self._skipped and self._report.num_images == 1):
                return False
            if row not in self._skipped:
                self._skipped.add(row)
                self._report.skip_image(
                    int(self._image_ids[row]), int(self._num_boxes[row]), complaint
                )
                logger.warning(
                    "%s. It is skipped, and listed in `report` of the data set.", complaint
                )
        return True
