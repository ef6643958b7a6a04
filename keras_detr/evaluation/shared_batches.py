"""Which batches each of several processes evaluates, and how they put together what they found."""

import itertools

import keras

from keras_detr.ops.backends import current
from keras_detr.ops.processes import gather


class SharedBatches:
    """Share batches among the processes that evaluate together.

    Batch n is evaluated by process n modulo the number of processes. Batches with an attribute
    `is_part_of_process` that is true are this process' part already, of a data set of which the
    processes take one image in turn; each reads all of its own.

    Args:
        batches: iterable or `keras.utils.PyDataset`, the same in every process or a part.
    """

    def __init__(self, batches):
        self._batches = batches
        self._is_part = bool(getattr(batches, "is_part_of_process", False))
        self._index, self._count = (0, 1) if self._is_part else current().process()

    def __iter__(self):
        """Yield this process' batches."""
        if isinstance(self._batches, keras.utils.PyDataset):
            for number in range(self._index, self._batches.num_batches, self._count):
                yield self._batches[number]
        else:
            yield from itertools.islice(self._batches, self._index, None, self._count)

    def num_batches(self):
        """Return the number of this process' batches, `None` where it isn't known."""
        if isinstance(self._batches, keras.utils.PyDataset):
            number = self._batches.num_batches
        else:
            try:
                number = len(self._batches)
            except TypeError:
                return None
        return len(range(self._index, number, self._count))

    def gather_images(self, collections, ends):
        """Let metrics have the images of all processes, in the order that one process sees.

        All processes call this.

        Args:
            collections: list of pairs of `CollectedImages` and of an int, how many images it had
                before this process' batches, which stay where they are.
            ends: list of int, how many images it had been given after each batch.
        """
        if current().process().count == 1:
            return
        own = []
        for metrics, num_before in collections:
            images = metrics.take_images(num_before)
            all_ends = range(1, len(images) + 1) if self._is_part else ends
            own.append([images[slice(*pair)] for pair in itertools.pairwise([0, *all_ends])])
        for (metrics, _), *groups in zip(collections, *gather(own), strict=True):
            # The first group of each process, then the second of each, and so on.
            for group in itertools.chain(*itertools.zip_longest(*groups, fillvalue=[])):
                metrics.add_images(group)
