"""Batches of data sets are checked when they are read, and not before."""

import keras
import numpy as np
import pytest

from keras_detr.batches.streams import checked_stream

pytestmark = pytest.mark.every_backend


class Numbers(keras.utils.PyDataset):
    """Give numbers, and count the epochs."""

    def __init__(self, length):
        super().__init__(workers=2, max_queue_size=5)
        self.length = length
        self.epochs = []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return index

    def on_epoch_begin(self):
        self.epochs.append("begin")

    def on_epoch_end(self):
        self.epochs.append("end")


def even(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number * 10


def test_a_data_set_of_keras():
    numbers = Numbers(3)
    checked = checked_stream(numbers, even)
    assert isinstance(checked, keras.utils.PyDataset)
    assert (len(checked), checked.num_batches) == (3, 3)
    assert (checked.workers, checked.max_queue_size) == (2, 5)
    assert (checked[0], checked[2]) == (0, 20)
    with pytest.raises(ValueError, match="1 is odd"):
        _ = checked[1]
    checked.on_epoch_begin()
    checked.on_epoch_end()
    assert numbers.epochs == ["begin", "end"]


def test_an_iterator():
    checked = checked_stream(iter([2, 4, 1]), even)
    assert [next(checked), next(checked)] == [20, 40]
    with pytest.raises(ValueError, match="1 is odd"):
        next(checked)


def test_no_batch():
    with pytest.raises(ValueError, match="`x` gave no batch"):
        checked_stream(Numbers(0), even)
    with pytest.raises(ValueError, match="`x` gave no batch"):
        list(checked_stream(iter([]), even))


def test_arrays_are_no_stream():
    assert checked_stream(np.zeros((2, 8, 8, 3)), even) is None
    assert checked_stream({"images": np.zeros((2, 8, 8, 3))}, even) is None


def test_a_loader_of_torch():
    torch = pytest.importorskip("torch", reason="needs torch")

    class Unmeasured(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter([2, 4, 1])

    loader = torch.utils.data.DataLoader(Unmeasured(), batch_size=None)
    checked = checked_stream(loader, even)
    assert isinstance(checked, torch.utils.data.DataLoader)
    batches = iter(checked)
    assert [next(batches), next(batches)] == [20, 40]
    with pytest.raises(ValueError, match="1 is odd"):
        next(batches)
    assert list(loader) == [2, 4, 1]
    with pytest.raises(ValueError, match="`x` gave no batch"):
        checked_stream(torch.utils.data.DataLoader([], batch_size=None), even)


def test_a_data_set_of_grain():
    class DataSet(list):
        """Stand for `grain.MapDataset`, which has `map`, too."""

        __module__ = "grain.stand_in"

        def map(self, function):
            return DataSet(map(function, self))

    assert checked_stream(DataSet([2, 4]), even) == [20, 40]
    with pytest.raises(ValueError, match="1 is odd"):
        checked_stream(DataSet([2, 1]), even)
    with pytest.raises(ValueError, match="`x` gave no batch"):
        checked_stream(DataSet(), even)
