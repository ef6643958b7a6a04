"""Raw images of any sizes and libraries become NumPy arrays, or are refused."""

import numpy as np
import pytest
from keras import ops

from keras_detr.batches import images as images_module
from keras_detr.batches.images import check_images, raw_images
from keras_detr.ops.numpy_arrays import to_numpy

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


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_image_that_is_not_finite_is_named(dtype, value):
    images = np.full((3, 40, 50, 3), 200, "float32")
    tensor = ops.cast(images, dtype)
    check_images(tensor)  # In half precision the sum of 200s overflows.
    images[1, 3, 4, 2] = value
    with pytest.raises(ValueError, match="Image 1 of the batch holds NaN or infinity"):
        check_images(ops.cast(images, dtype))


def test_images_are_checked_where_they_are(monkeypatch):
    sizes = []

    def seen(array):
        sizes.append(array.shape)
        return to_numpy(array)

    monkeypatch.setattr(images_module, "to_numpy", seen)
    check_images(ops.ones((3, 40, 50, 3)))
    assert sizes == [(3,)]
