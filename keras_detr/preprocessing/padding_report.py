"""Report how much of the batches is padding. TensorFlow isn't needed."""

import threading

import numpy as np


class PaddingReport:
    """Print what share of the canvases is padding, from the first images of a data set.

    Images are measured while they pass, as to read them for it would cost as much as to train on
    them.

    Args:
        canvases: list of (height, width), smallest first.
        num_measured: int, after how many images it is printed, or at the data set's end.
    """

    def __init__(self, canvases, num_measured):
        self._canvases = np.array(canvases)
        self._num_measured = num_measured
        self._sizes = []
        self._is_printed = False
        self._lock = threading.Lock()

    def measure(self, size):
        """Take the (height, width) of one image; return 0, as TensorFlow wants a number."""
        with self._lock:
            self._sizes.append(size)
            is_enough = len(self._sizes) >= self._num_measured
        return self.finish() if is_enough else np.int64(0)

    def finish(self):
        """Print the report once; return 0."""
        with self._lock:
            if not self._is_printed:
                self._is_printed = True
                print(self._text())
        return np.int64(0)

    def _text(self):
        sizes = np.array(self._sizes).reshape(-1, 2)
        fits = (sizes[:, None] <= self._canvases).all(-1)
        # An image that fits on no canvas is an error of its own.
        sizes, fits = sizes[fits.any(1)], fits[fits.any(1)]
        if not len(sizes):
            return "bucketed_batches: there are no images to measure."
        areas = sizes.prod(1).sum()
        taken = self._canvases.prod(1)[fits.argmax(1)].sum()
        height, width = sizes.max(0)
        one = 1 - areas / (len(sizes) * height * width)
        return (
            f"bucketed_batches: {len(set(fits.argmax(1)))} of {len(self._canvases)} canvases in "
            f"use, {1 - areas / taken:.1%} of their pixels are padding ({len(sizes)} images "
            f"measured; on one canvas of {height}x{width} {one:.1%} would be)."
        )
