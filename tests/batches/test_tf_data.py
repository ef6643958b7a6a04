# ruff: noqa: E402
"""What only data sets of TensorFlow have: structures, ragged images, shapes known late."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from keras_detr.batches import checked_training_batches
from tests.batches.checked_batches import (
    BOXES,
    CLASSES,
    HEIGHT,
    IMAGES,
    WIDTH,
    batch,
    changed,
    mask,
    through_arrays,
    through_data_set,
)

BAD_VALUES = {
    "class": {"classes": changed(CLASSES, (0, 1), 3)},
    "fraction": {"classes": changed(CLASSES, (1, 0), 0.5, float)},
    "image": {"images": changed(IMAGES, (1, 5, 5, 2), np.nan)},
    "half precision": {"images": changed(IMAGES, (1, 5, 5, 2), np.inf, np.float16)},
    "box": {"boxes": changed(BOXES, (0, 1, 2), np.nan)},
    "outside": {"boxes": changed(BOXES, (1, 0), [50, 5, 60, 9])},
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_both_say_the_same_in_few_words(name):
    arguments = batch(**BAD_VALUES[name], image_id=np.array(["first", "77.jpg"]))
    with pytest.raises(ValueError, match="image_id") as of_arrays:
        through_arrays(*arguments)
    with pytest.raises(tf.errors.InvalidArgumentError) as of_data_set:
        through_data_set(*arguments)
    message = str(of_data_set.value)
    assert str(of_arrays.value) in message
    assert "Traceback" not in message
    assert len(message) < len(str(of_arrays.value)) + 400


def test_shapes_that_are_known_only_while_reading():
    def dataset(**changes):
        x, boxes = batch(**changes)
        parts = x, boxes["boxes"], boxes["classes"]
        types = tf.nest.map_structure(lambda array: tf.as_dtype(array.dtype), parts)
        generated = tf.data.Dataset.from_generator(lambda: [parts], types)
        generated = generated.map(
            lambda x, boxes, classes: (x, {"boxes": boxes, "classes": classes})
        )
        return checked_training_batches(generated, 3, "xyxy")

    good = dataset(boxes=BOXES)
    assert good.element_spec[0]["images"].shape.as_list() == [None, None, None, 3]
    assert good.element_spec[1]["boxes"].shape.as_list() == [None, None, 4]
    np.testing.assert_array_equal(next(iter(good))[1]["boxes"], BOXES)
    for changes, message in (
        ({"images": IMAGES[0]}, r"`images` must have the shape .*\(30, 40, 3\)"),
        ({"images": IMAGES[:0]}, "of at least one image"),
        ({"boxes": BOXES[0]}, r"`boxes` must have the shape \(batch, N, 4\)"),
        ({"classes": CLASSES[0]}, "agree in length"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            next(iter(dataset(**changes)))


def test_data_set_structures_all_become_one():
    x, bounding_boxes = batch(pixel_mask=mask(HEIGHT, WIDTH))
    more = {**bounding_boxes, "area": np.ones((2, 2))}
    structures = [
        {**x, "bounding_boxes": more, "image_id": np.arange(2)},
        (x, more),
        ({**x, "image_id": np.arange(2)}, more),
    ]
    for structure in structures:
        dataset = tf.data.Dataset.from_tensors(structure)
        checked = checked_training_batches(dataset, 3, "xyxy")
        assert tf.nest.map_structure(lambda spec: tuple(spec.shape), checked.element_spec) == (
            {"images": (2, HEIGHT, WIDTH, 3), "pixel_mask": (2, HEIGHT, WIDTH)},
            {"boxes": (2, 2, 4), "classes": (2, 2)},
        )
        assert checked.cardinality() == 1
        next(iter(checked))
    dataset = tf.data.Dataset.from_tensors((x["images"], more))
    assert list(checked_training_batches(dataset, 3, "xyxy").element_spec[0]) == ["images"]


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        ((IMAGES, {"boxes": BOXES, "classes": CLASSES}, np.ones(2)), "`sample_weight`"),
        ({"images": IMAGES}, "needs 'bounding_boxes'"),
        ((IMAGES,), "Targets are missing"),
        (IMAGES, "Received: .*Tensor"),
    ],
)
def test_wrong_data_set_structures_are_refused(structure, message):
    with pytest.raises(ValueError, match=message):
        checked_training_batches(tf.data.Dataset.from_tensors(structure), 3, "xyxy")


def test_ragged_images_are_refused():
    images = tf.ragged.stack([np.zeros((3, 4, 3)), np.zeros((2, 4, 3))])
    dataset = tf.data.Dataset.from_tensors((images, {"boxes": BOXES, "classes": CLASSES}))
    with pytest.raises(ValueError, match=r"(?s)came ragged.*PadToCanvas"):
        checked_training_batches(dataset, 3, "xyxy")
