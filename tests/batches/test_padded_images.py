"""Padding without a mask is found, and pictures that aren't padded are left in peace."""

import keras
import numpy as np
import pytest

from keras_detr.batches.padded_images import padding_problem

HEIGHT, WIDTH = 64, 96


def pictures(number=4, height=HEIGHT, width=WIDTH):
    return np.random.default_rng(0).integers(0, 256, (number, height, width, 3), dtype=np.uint8)


def is_told(images):
    problem = padding_problem(images, "a batch")
    if problem is not None:
        assert "images of a batch end in a band of one colour" in problem
        assert "no 'pixel_mask'" in problem
    return problem is not None


def painted(color=0, number=4, **bands):
    """Return pictures with bands of one colour: pixels of each side."""
    images = pictures().astype("float32")
    for side, pixels in bands.items():
        place = {
            "top": np.s_[:number, :pixels],
            "bottom": np.s_[:number, -pixels:],
            "left": np.s_[:number, :, :pixels],
            "right": np.s_[:number, :, -pixels:],
        }
        images[place[side]] = color
    return images


@pytest.mark.parametrize("color", [0, 114, (1.5, -0.2, 3.25)])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize(
    "bands",
    [
        {"bottom": 16},
        {"right": 8},
        {"bottom": 30, "right": 40},
        {"top": 9, "bottom": 8},
        {"left": 20, "right": 20},
    ],
)
def test_padding_is_found(bands, dtype, color):
    images = painted(color, **bands).astype(dtype)
    assert is_told(images)


@pytest.mark.parametrize(
    "images",
    [
        pictures(),
        painted(bottom=2),
        # A thing on a plain ground, or a plain picture.
        painted(255, top=9, bottom=9, left=9, right=9),
        np.zeros((2, 8, 8, 3)),
        np.zeros((1, 1, 1, 3)),
        # Skies.
        painted(255, top=20),
        painted(255, left=20),
        # Half of a batch may be like that.
        painted(bottom=16, number=2),
        # JPEG changes dark bars.
        painted(bottom=16) + pictures() % 2,
    ],
    ids=range(9),
)
def test_other_pictures_are_not(images):
    assert not is_told(images)


@pytest.mark.parametrize("fill_value", [0.0, 114.0])
def test_what_keras_pads_is_found(fill_value):
    pytest.importorskip("tensorflow", reason="tensorflow isn't installed")
    layer = keras.layers.Resizing(80, 80, pad_to_aspect_ratio=True, fill_value=fill_value)
    images = np.stack([keras.ops.convert_to_numpy(layer(image)) for image in painted()])
    assert is_told(images)


def test_what_keras_cv_pads_is_found():
    pytest.importorskip("tensorflow", reason="tensorflow isn't installed")
    import keras_cv

    layer = keras_cv.layers.Resizing(80, 80, pad_to_aspect_ratio=True)
    assert is_told(np.asarray(layer(painted())))
