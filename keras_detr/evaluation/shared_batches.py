"""Which batches each of several processes evaluates, and how they put together what they found."""

import itertools

import keras

from keras_detr.ops.backends import current
from keras_detr.ops.processes import gather


class SharedBatches:
    """Share batches among the processes that evaluate together.

    Batch n is evaluated by process n modulo the number of processes. Data sets with a function
    `batches_of_process`, as `evaluation_batches` returns them, read no others. Where `batches` have
    an attribute `is_part_of_process` that is true, they hold this process' rows of each batch, and
    the process evaluates all of them.

    Args:
        batches: iterable or `keras.utils.PyDataset`, the same in every process or a part.
    """

    def __init__(self, batches):
        self._batches = batches
        process = current().process()
        self._index, self._count = process
        if process.count > 1 and hasattr(batches, "batches_of_process"):
            self._batches = batches.batches_of_process(process)
            self._index, self._count = 0, 1
        elif getattr(batches, "is_part_of_process", False):
            self._index, self._count = 0, 1

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
            own.append([images[slice(*pair)] for pair in itertools.pairwise([0, *ends])])
        for (metrics, _), *batches in zip(collections, *gather(own), strict=True):
            # The first batch of each process, then the second of each, and so on.
            for images in itertools.chain(*itertools.zip_longest(*batches, fillvalue=[])):
                metrics.add_images(images)
