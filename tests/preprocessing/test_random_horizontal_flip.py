# ruff: noqa: E402
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from hypothesis import given, settings
from hypothesis import strategies as st

from keras_detr.ops.boxes import BOX_FORMATS, convert_box_format
from keras_detr.preprocessing import RandomHorizontalFlip


@given(
    bounding_box_format=st.sampled_from(sorted(BOX_FORMATS)),
    height=st.integers(4, 40),
    width=st.integers(4, 40),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_painted_boxes_and_flipped_boxes_agree(bounding_box_format, height, width, seed):
    rng = np.random.default_rng(seed)
    left, right = np.sort(rng.choice(width + 1, 2, replace=False))
    top, bottom = np.sort(rng.choice(height + 1, 2, replace=False))
    image = np.zeros((height, width, 3), np.uint8)
    image[top:bottom, left:right] = 255
    box = np.array([[left, top, right, bottom]], np.float32)
    boxes = convert_box_format(box, "xyxy", bounding_box_format, (height, width), np.stack)
    boxes = np.concatenate([boxes, np.full((1, 4), -1, np.float32)])
    bounding_boxes = {"boxes": boxes, "classes": np.array([0, -1], np.int32)}
    layer = RandomHorizontalFlip(1.0, bounding_box_format=bounding_box_format, seed=0)
    result = layer({"images": image, "bounding_boxes": bounding_boxes})
    there = convert_box_format(
        result["bounding_boxes"]["boxes"], bounding_box_format, "xyxy", (height, width), np.stack
    )
    rows, columns = np.nonzero(result["images"][..., 0])
    painted = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(there[0], painted, atol=1e-4)
    np.testing.assert_array_equal(result["images"], image[:, ::-1])
    assert result["images"].dtype == np.uint8
    np.testing.assert_array_equal(result["bounding_boxes"]["boxes"][1], [-1, -1, -1, -1])


def flips(layer, number):
    image = np.array([[[0], [1]]], np.uint8)
    dataset = tf.data.Dataset.from_tensors({"images": image}).repeat(number).map(layer)
    return [
        [int(element["images"][0, 0, 0]) for element in dataset.as_numpy_iterator()]
        for _ in range(2)
    ]


def test_each_epoch_draws_anew_and_a_seed_repeats():
    layer = RandomHorizontalFlip(0.5, bounding_box_format="xyxy", seed=3)
    first, second = flips(layer, 200)
    assert first != second
    assert 70 < sum(first) < 130
    again = RandomHorizontalFlip.from_config(layer.get_config())
    assert flips(again, 200) == [first, second]
    other = RandomHorizontalFlip(0.5, bounding_box_format="xyxy", seed=4)
    assert flips(other, 200)[0] != first


@pytest.mark.parametrize(("rate", "number"), [(0.0, 0), (1.0, 20)])
def test_rate_is_the_share_of_flipped_images(rate, number):
    assert sum(flips(RandomHorizontalFlip(rate, bounding_box_format="xyxy"), 20)[0]) == number


def test_rate_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"`rate` must be .* Received: 2"):
        RandomHorizontalFlip(2, bounding_box_format="xyxy")
