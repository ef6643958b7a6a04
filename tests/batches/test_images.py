"""Raw images of any sizes and libraries become NumPy arrays, or are refused."""

import numpy as np
import pytest
from keras import ops

from keras_detr.batches.images import raw_images

pytestmark = pytest.mark.every_backend

IMAGE = np.arange(2 * 3 * 3, dtype="float32").reshape(2, 3, 3)


@pytest.mark.parametrize(
    ("images", "number"),
    [
        (IMAGE, 1),
        (np.stack([IMAGE, IMAGE]), 2),
        ([IMAGE, IMAGE, IMAGE], 3),
        ((IMAGE.tolist(),), 1),
        (ops.convert_to_tensor(IMAGE), 1),
        ([ops.convert_to_tensor(IMAGE), IMAGE], 2),
    ],
)
def test_raw_images_become_a_list_of_arrays(images, number):
    found = raw_images(images)
    assert [type(image) for image in found] == [np.ndarray] * number
    for image in found:
        np.testing.assert_array_equal(image, IMAGE)


def test_images_keep_their_own_sizes():
    assert [image.shape[0] for image in raw_images([IMAGE, IMAGE[:1]])] == [2, 1]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "`x` must hold at least one image"),
        (np.zeros((0, 2, 3, 3)), "`x` must hold at least one image"),
        ([IMAGE, IMAGE[..., :1]], r"`x` must hold arrays.*\(2, 3, 1\) for image 1"),
        (IMAGE[..., 0], r"\(3,\) for image 0"),
        ([IMAGE[:0]], r"\(0, 3, 3\) for image 0"),
        ([IMAGE > 1], r"`x\[0\]` must be an array of numbers.*bool"),
        ([np.full((2, 3, 3), "a")], r"`x\[0\]` must be an array of numbers"),
    ],
)
def test_what_is_no_raw_image_is_shown(images, message):
    with pytest.raises(ValueError, match=message):
        raw_images(images, "x")
