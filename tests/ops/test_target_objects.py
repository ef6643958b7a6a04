"""Objects after packing, against what a loop over images keeps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_detr.ops.target_objects import pack_target_objects

pytestmark = pytest.mark.every_backend

BOXES = {
    "inside": [0.5, 0.5, 0.25, 0.25],
    "at the edge": [0.125, 0.5, 0.25, 0.5],
    "rounded over the edge": [0.12499, 0.5, 0.25, 0.5],
    "over the edge": [0.0, 0.5, 0.5, 0.5],
    "larger than the image": [0.25, 0.25, 4.0, 8.0],
    "outside": [1.75, 0.5, 0.5, 0.5],
    "a point": [0.5, 0.5, 0.0, 0.0],
    "not a number": [0.5, np.nan, 0.5, 0.5],
}
KEPT = {
    "inside": BOXES["inside"],
    "at the edge": BOXES["at the edge"],
    "rounded over the edge": BOXES["rounded over the edge"],
    "over the edge": [0.125, 0.5, 0.25, 0.5],
    "larger than the image": [0.5, 0.5, 1.0, 1.0],
}
CLIPPED = {"over the edge", "larger than the image"}


ROWS = st.lists(st.tuples(st.sampled_from(sorted(BOXES)), st.integers(-1, 5)), max_size=5)


@pytest.mark.parametrize("num_rows", [0, 1, 5])
@settings(max_examples=20)
@given(images=st.lists(ROWS, min_size=3, max_size=3))
def test_packing(images, num_rows):
    images = [rows[:num_rows] for rows in images]
    boxes = np.full((len(images), num_rows, 4), np.nan, "float32")
    classes = np.full((len(images), num_rows), -1)
    for i, rows in enumerate(images):
        for j, (name, label) in enumerate(rows):
            boxes[i, j], classes[i, j] = BOXES[name], label
    packed = pack_target_objects(boxes, classes)
    packed = type(packed)(*(ops.convert_to_numpy(x) for x in packed))
    assert packed.boxes.shape == (len(images), max(num_rows, 1), 4)
    for i, rows in enumerate(images):
        kept = [(KEPT[name], label) for name, label in rows if label >= 0 and name in KEPT]
        count = packed.num_objects[i]
        assert count == len(kept)
        # The order stays, and padding is a box that can be compared without 0/0.
        np.testing.assert_array_equal(packed.is_object[i], np.arange(len(packed.boxes[i])) < count)
        np.testing.assert_array_equal(packed.classes[i, :count], [label for _, label in kept])
        np.testing.assert_array_equal(packed.classes[i, count:], 0)
        if kept:
            np.testing.assert_allclose(packed.boxes[i, :count], [b for b, _ in kept], atol=1e-6)
        assert (packed.boxes[i, count:] == [0.5, 0.5, 1, 1]).all()
    labelled = [name for rows in images for name, label in rows if label >= 0]
    assert packed.num_clipped == sum(name in CLIPPED for name in labelled)
    assert packed.num_dropped == sum(name not in KEPT for name in labelled)
