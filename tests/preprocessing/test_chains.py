# ruff: noqa: E402
"""Layers of KerasCV and of Keras work between ours, where they do the right thing."""

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import keras_cv

from keras_detr.preprocessing import (
    PadToCanvas,
    RandomHorizontalFlip,
    ResizeShortestSide,
    bucketed_batches,
)

FORMAT = {"bounding_box_format": "xyxy"}
RANGE = {"value_range": (0, 255)}


def on_images(layer):
    """Apply a layer of Keras to images alone: it would ask for boxes with "labels"."""
    return lambda element: {**element, "images": layer(element["images"])}


def color_layers():
    return {
        "keras_cv hue": keras_cv.layers.RandomHue((0.3, 0.3), **RANGE),
        "keras_cv jitter": keras_cv.layers.RandomColorJitter(
            brightness_factor=(0.2, 0.3),
            contrast_factor=0,
            saturation_factor=0,
            hue_factor=0,
            **RANGE,
        ),
        "keras_cv grayscale": keras_cv.layers.Grayscale(3),
        "keras_cv blur": keras_cv.layers.RandomGaussianBlur(3, 1.0),
        "keras brightness": on_images(keras.layers.RandomBrightness((0.2, 0.3), **RANGE)),
        "keras contrast": on_images(keras.layers.RandomContrast(0.5, seed=1, **RANGE)),
        "keras grayscale": on_images(keras.layers.RandomGrayscale(1.0)),
    }


@pytest.mark.parametrize("name", color_layers())
def test_colors_change_and_boxes_do_not(name):
    image = np.random.default_rng(0).integers(20, 200, (30, 40, 3)).astype(np.uint8)
    rows = {
        "boxes": np.array([[2, 3, 10, 20], [0, 0, 40, 30]], np.float32),
        "classes": np.array([1, 0], np.int32),
    }
    dataset = tf.data.Dataset.from_tensors({"images": image, "bounding_boxes": rows})
    before = [ResizeShortestSide(60, longest_side=90, **FORMAT)]
    after = [RandomHorizontalFlip(1.0, **FORMAT), PadToCanvas((80, 90), max_boxes=3, **FORMAT)]
    plain, colored = dataset, dataset
    for layer in (*before, *after):
        plain = plain.map(layer)
    for layer in (*before, color_layers()[name], *after):
        colored = colored.map(layer)
    plain, colored = (next(iter(chain.batch(1).as_numpy_iterator())) for chain in (plain, colored))
    for key, expected in plain["bounding_boxes"].items():
        np.testing.assert_allclose(colored["bounding_boxes"][key], expected, atol=1e-4)
    np.testing.assert_array_equal(colored["pixel_mask"], plain["pixel_mask"])
    assert np.abs(colored["images"] - plain["images"]).mean() > 1


class TestRowsOutOfStep:
    """A layer dropped a box, and left its area: all that comes after says so."""

    def element(self):
        rows = {
            "boxes": np.array([[2, 3, 10, 20]], np.float32),
            "classes": np.array([1], np.int32),
            "area": np.array([50.0, 60.0], np.float32),
        }
        return {"images": np.zeros((30, 40, 3), np.uint8), "bounding_boxes": rows}

    def elements(self):
        element = self.element()
        specs = tf.nest.map_structure(
            lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), element
        )
        return tf.data.Dataset.from_generator(lambda: [element] * 2, output_signature=specs)

    @pytest.mark.parametrize(
        "chained",
        [
            lambda elements: elements.map(RandomHorizontalFlip(1.0, **FORMAT)),
            lambda elements: elements.map(PadToCanvas((40, 40), max_boxes=3, **FORMAT)),
            lambda elements: elements.ragged_batch(2).map(ResizeShortestSide(20, **FORMAT)),
            lambda elements: elements.batch(2).map(RandomHorizontalFlip(1.0, **FORMAT)),
            lambda elements: bucketed_batches(elements, [(40, 40)], num_measured=0),
        ],
    )
    def test_in_a_chain(self, chained):
        with pytest.raises(tf.errors.InvalidArgumentError, match="`area` must have one row a box"):
            next(iter(chained(self.elements())))

    def test_in_an_array(self):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=r"`area`.*Received: 2 rows and 1 boxes"
        ):
            RandomHorizontalFlip(1.0, **FORMAT)(self.element())
