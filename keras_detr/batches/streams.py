"""Check batches that come one after another, each when it is read. TensorFlow isn't needed."""

import collections.abc
import copy
import operator

import keras

from keras_detr.batches.shapes import NO_BATCH


def checked_stream(x, check):
    """Return a data set of Keras or a generator with each batch passed through a check.

    Args:
        x: `keras.utils.PyDataset`, iterator, `torch.utils.data.DataLoader`, or arrays.
        check: function from a batch to a batch, which raises where it is wrong.

    Returns:
        What gives the checked batches; `None` for arrays. Of torch's loaders, and of Grain's, Keras
        wants tensors, so their batches stay as they are; only the structure of Grain's is checked.

    Raises:
        ValueError: there is no batch; of an iterator, when it is read.
    """
    if isinstance(x, collections.abc.Iterator):
        return _checked_batches(x, check)
    if isinstance(x, keras.utils.PyDataset):
        checked, num_batches = _CheckedPyDataset(x, check), x.num_batches
    elif _is_of(x, "torch.utils.data.", "grain."):
        # Loaders of an endless or unmeasured data set have a `__len__` that raises.
        checked, num_batches = x, operator.length_hint(x, 1)
        if _is_of(x, "torch.utils.data.dataloader"):
            checked = _checked_loader(x, check)
    else:
        return None
    if num_batches == 0:
        raise ValueError(NO_BATCH)
    return checked


def _checked_batches(batches, check):
    is_empty = True
    for batch in batches:
        is_empty = False
        yield check(batch)
    if is_empty:
        raise ValueError(NO_BATCH)


def with_first_checked(x, checked, check):
    """Check the first batch of a data set now, and return what `checked_stream` made of it.

    Args:
        x: the data set or iterator.
        checked: the same with its batches checked when they are read. Of an iterator, the first
            batch is read from here, and comes again.
        check: function of a batch, which raises where it is wrong.

    Raises:
        ValueError: there is no batch.
    """
    if isinstance(x, collections.abc.Iterator):
        return _with_first(next(checked), checked)
    batch = x[0] if isinstance(x, keras.utils.PyDataset) else next(iter(x), None)
    if batch is None:
        raise ValueError(NO_BATCH)
    check(batch)
    return checked


def _with_first(first, others):
    yield first
    yield from others


class _CheckedPyDataset(keras.utils.PyDataset):
    """Pass the batches of another data set through a check."""

    def __init__(self, dataset, check):
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self._dataset = dataset
        self._check = check

    def __len__(self):
        return len(self._dataset)

    @property
    def num_batches(self):
        return self._dataset.num_batches

    def __getitem__(self, index):
        return self._check(self._dataset[index])

    def on_epoch_begin(self):
        self._dataset.on_epoch_begin()

    def on_epoch_end(self):
        self._dataset.on_epoch_end()


def _checked_loader(loader, check):
    """Return a copy of a loader of torch, of a class that Keras knows as one."""
    kind = type(loader)

    def read_checked(self):
        for batch in kind.__iter__(self):
            check(batch)
            yield batch

    checked = copy.copy(loader)
    checked.__class__ = type(kind.__name__, (kind,), {"__iter__": read_checked})
    return checked


def is_tensorflow_dataset(data):
    """Return whether `data` is a `tf.data.Dataset`, without importing TensorFlow."""
    return _is_of(data, "tensorflow.python.data.")


def _is_of(data, *packages):
    """Return whether one of the classes of `data` is from a package, without importing it."""
    return any(cls.__module__.startswith(packages) for cls in type(data).__mro__)
