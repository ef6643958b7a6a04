"""Sizes of images from their masks, in NumPy and on the backend."""

import numpy as np
import pytest
from keras import ops

from keras_detr.batches.image_sizes import unpadded_sizes

pytestmark = pytest.mark.every_backend

IMAGES = np.zeros((3, 300, 40, 3), "float32")
SIZES = ((300, 40), (257, 1), (1, 30))


def mask(dtype):
    pixels = np.zeros(IMAGES.shape[:3], dtype)
    for image, (height, width) in zip(pixels, SIZES, strict=True):
        image[:height, :width] = 1
    return pixels


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float32"])
@pytest.mark.parametrize("library", [np, ops], ids=["numpy", "backend"])
def test_padding_is_left_out(dtype, library):
    arrays = IMAGES, mask(dtype)
    if library is ops:
        arrays = map(ops.convert_to_tensor, arrays)
    sizes = np.stack([ops.convert_to_numpy(side) for side in unpadded_sizes(*arrays, library)], 1)
    np.testing.assert_array_equal(sizes, SIZES)


def test_any_number_but_0_is_the_image():
    np.testing.assert_array_equal(unpadded_sizes(IMAGES, mask("int32") * 255)[0], [300, 257, 1])


@pytest.mark.parametrize("library", [np, ops], ids=["numpy", "backend"])
def test_images_without_a_mask_have_one_size(library):
    images = IMAGES if library is np else ops.convert_to_tensor(IMAGES)
    for side, expected in zip(unpadded_sizes(images, None, library), ([300], [40]), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(side), expected)
