"""Labels in range and out of it."""

import numpy as np
import pytest

from keras_detr.batches.labels import check_labels

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_labels_from_padding_to_the_last_class(dtype):
    check_labels(np.array([[-1, 0], [1, 2]], dtype), 3)


@pytest.mark.parametrize("label", [3, 91, -2, 0.5, np.nan, np.inf])
def test_other_labels_are_shown_with_their_place(label):
    classes = np.array([[0.0, 1.0], [2.0, label], [-1.0, 3.0]])
    with pytest.raises(ValueError, match=rf"from 0 to 2 .*{label}.*index \(1, 1\)"):
        check_labels(classes, 3)


def test_at_most_five_wrong_labels_are_listed():
    with pytest.raises(ValueError, match=r"Received: 1, 2, 3, 4, 5 \(first"):
        check_labels(np.arange(100), 1)
