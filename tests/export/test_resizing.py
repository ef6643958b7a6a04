"""Resizing by matrix products: the oracles are the preprocessing's rule, TensorFlow's and PIL's."""

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_detr.export.resizing import resize_images, resized_size
from keras_detr.preprocessing import ResizeShortestSide
from keras_detr.preprocessing.short_side_sizes import resized_size as original_size

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only tensorflow has sizes as tensors"
)

SETTINGS = [(800, 1333), (800, None), (480, 640), (33, 33), (1, 7)]


@pytest.mark.parametrize("setting", SETTINGS)
def test_sizes_are_the_original_ones(setting):
    generator = np.random.default_rng(0)
    sizes = np.concatenate(
        [
            generator.integers(1, 5000, (300, 2)),
            generator.integers(1, 40, (300, 2)),
            # Where a size is capped, or half a pixel is rounded.
            [(200, 340), (340, 200), (800, 1333), (1333, 800), (1, 5000), (6, 9), (3, 2), (5, 5)],
        ]
    ).astype("int32")
    expected = [original_size(height, width, *setting) for height, width in sizes]
    height, width = resized_size(ops.array(sizes[:, 0]), ops.array(sizes[:, 1]), *setting)
    np.testing.assert_array_equal(np.stack([height, width], axis=-1), expected)


def test_a_half_is_rounded_to_the_even_side():
    # 50 * 5 / 100 is 2.5, and 70 * 5 / 100 is 3.5.
    for side, expected in ((5, 2), (7, 4)):
        height, _ = resized_size(ops.array(side), ops.array(100), 90, 50)
        assert int(height) == expected == original_size(side, 100, 90, 50)[0]


@pytest.mark.parametrize("size", [(40, 61), (64, 48), (129, 33), (20, 200), (1, 1)])
def test_pixels_are_those_of_the_preprocessing(size):
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (*size, 3), "uint8")
    expected = ResizeShortestSide(48, longest_side=80, bounding_box_format="xyxy")(
        {"images": image}
    )["images"]
    resized = resize_images(ops.cast(image[None], "float32"), expected.shape[:2])[0]
    # Float32's rounding of a mean of numbers up to 255.
    np.testing.assert_allclose(resized, expected, atol=2e-3)


@pytest.mark.parametrize("new_size", [(30, 17), (90, 140), (30, 140), (61, 80)])
def test_pixels_are_those_of_pil(new_size):
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 255, (2, 61, 80, 3)).astype("float32")
    resized = ops.convert_to_numpy(resize_images(ops.array(images), new_size))
    for image, found in zip(images, resized, strict=True):
        for channel in range(3):
            plane = Image.fromarray(image[..., channel])
            expected = plane.resize(new_size[::-1], Image.Resampling.BILINEAR)
            np.testing.assert_allclose(found[..., channel], expected, atol=2e-3)
