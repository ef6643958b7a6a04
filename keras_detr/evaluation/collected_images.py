"""What COCO's metrics of boxes and of masks keep of each image."""

from typing import Any

import numpy as np


class CollectedImages:
    """Keep what is known of images, which doesn't depend on their place among the others.

    So images that several processes have collected can be put together in any order.
    """

    def __init__(self) -> None:
        self.reset_state()

    def reset_state(self) -> None:
        """Forget all images."""
        self._images: list[tuple[Any, ...]] = []
        self._evaluation: Any = None

    @property
    def num_images(self) -> int:
        """The number of images."""
        return len(self._images)

    def take_images(self, start: int = 0) -> list[Any]:
        """Remove images, in the order in which they came, and return what is known of them.

        Args:
            start: int, how many of the first images stay.

        Returns:
            list with an entry for each image, for `add_images`.
        """
        taken, self._images = self._images[start:], self._images[:start]
        self._evaluation = None
        return taken

    def add_images(self, images: list[Any]) -> None:
        """Add what `take_images` of metrics with the same arguments has returned."""
        self._images += images
        self._evaluation = None

    def _entries(self):
        """Return the entries of all images, a tuple for each kind of entry.

        Raises:
            ValueError: there is no image.
        """
        if not self._images:
            raise ValueError(
                "There is nothing to score: `update_state` was called with no image. Check that "
                "the data set isn't empty."
            )
        return tuple(zip(*self._images, strict=True))


def numbered_rows(rows_by_image):
    """Return the float64 rows of all images, with the number of the image before each."""
    numbers = np.repeat(np.arange(len(rows_by_image)), [len(rows) for rows in rows_by_image])
    return np.column_stack([numbers, np.concatenate(rows_by_image)])
