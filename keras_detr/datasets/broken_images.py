"""Images that TensorFlow can't decode, or turn, while a data set is read."""

import logging
import threading

import numpy as np
import tensorflow as tf

from keras_detr.preprocessing.exif_orientation import orientation_of
from keras_detr.preprocessing.image_reading import opened_picture, rgb_of_picture

logger = logging.getLogger("keras_detr")


class BrokenImages:
    """Read images that TensorFlow can't decode with PIL, and report those that PIL can't either.

    Images whose EXIF tag turns them are read here too, and reported if nobody knew of the tag.

    `images` is a table of `IMAGES`, and `num_boxes` has the number of boxes of each. Where
    `is_skipped`, an image that can't be read is skipped, logged and added to `report`; otherwise
    it is an error. The last image that is left is always an error.
    """

    def __init__(self, images, num_boxes, report, *, is_skipped):
        self.is_skipped = is_skipped
        self._images, self._num_boxes, self._report = images, num_boxes, report
        self._skipped, self._turned = set(), set()
        self._lock = threading.Lock()

    def decode(self, row):
        """Decode an image, given by its row, in the graph of a data set, as `decode_image` does.

        If it can't be read, it has no pixels.
        """
        pixels, message = tf.numpy_function(
            self._read, [row], (tf.uint8, tf.string), stateful=False
        )
        return tf.ensure_shape(pixels, (None, None, 3)), tf.ensure_shape(message, ())

    def _read(self, row):
        image = self._images[row]
        try:
            with opened_picture(image["path"]) as picture:
                if image["orientation"] == 0:
                    self._report_orientation(int(row), orientation_of(picture))
                return rgb_of_picture(picture, is_turned=image["orientation"] != 1), b""
        except ValueError as error:
            message = "" if self._skip(int(row), str(error)) else str(error)
            return np.zeros((0, 0, 3), np.uint8), message.encode("utf-8", "backslashreplace")

    def _report_orientation(self, row, orientation):
        with self._lock:
            if orientation == 1 or row in self._turned:
                return
            self._turned.add(row)
            detail = (
                f"{self._images['path'][row]}: the EXIF tag says orientation {orientation}; boxes "
                "are taken as displayed"
            )
            self._report.add("exif_orientation", int(self._images["id"][row]), detail=detail)
        if len(self._turned) == 1:
            logger.warning("%s. Such images are listed in `report` of the data set.", detail)

    def _skip(self, row, message):
        """Return whether an image is skipped, and report it the first time."""
        with self._lock:
            if row in self._skipped:
                return True
            if not self.is_skipped or self._report.num_images == 1:
                return False
            self._skipped.add(row)
            image_id = int(self._images["id"][row])
            self._report.skip_image(image_id, int(self._num_boxes[row]), message)
        logger.warning("%s. It is skipped, and listed in `report` of the data set.", message)
        return True
