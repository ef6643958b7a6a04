# ruff: noqa: E402
"""Batches, dense and ragged, give what their images give one by one."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")


from keras_detr.preprocessing import (
    PadToCanvas,
    RandomHorizontalFlip,
    RandomSizeCrop,
    Resize,
    ResizeShortestSide,
)

LAYERS = {
    "flip": RandomHorizontalFlip(1.0, bounding_box_format="xyxy"),
    "resize": Resize((12, 9), bounding_box_format="xyxy"),
    "shortest": ResizeShortestSide(10, longest_side=25, bounding_box_format="xyxy"),
    "pad": PadToCanvas((40, 50), max_boxes=4, bounding_box_format="xyxy"),
}


def element(height, width, num_boxes):
    rng = np.random.default_rng([height, width, num_boxes])
    start = rng.uniform(0, [width / 2, height / 2], (num_boxes, 2))
    boxes = np.concatenate([start, start + rng.uniform(2, 5, (num_boxes, 2))], axis=-1)
    return {
        "images": rng.integers(0, 255, (height, width, 3)).astype(np.uint8),
        "bounding_boxes": {
            "boxes": boxes.astype(np.float32),
            "classes": rng.integers(0, 5, num_boxes).astype(np.int32),
            "area": rng.uniform(1, 9, num_boxes).astype(np.float32),
            "masks": rng.integers(0, 2, (num_boxes, height, width)).astype(bool),
        },
        "image_id": np.int64(height),
    }


def dataset(elements):
    spec = {
        "images": tf.TensorSpec((None, None, 3), tf.uint8),
        "bounding_boxes": {
            "boxes": tf.TensorSpec((None, 4)),
            "classes": tf.TensorSpec((None,), tf.int32),
            "area": tf.TensorSpec((None,)),
            "masks": tf.TensorSpec((None, None, None), tf.bool),
        },
        "image_id": tf.TensorSpec((), tf.int64),
    }
    return tf.data.Dataset.from_generator(lambda: elements, output_signature=spec)


def rows(value, index, number):
    """Return an image's first rows out of a batch, ragged or dense."""
    row = value[index]
    row = row.to_tensor() if isinstance(row, tf.RaggedTensor) else row
    return np.asarray(row)[:number]


@pytest.mark.parametrize("name", LAYERS)
def test_a_ragged_batch_gives_what_its_images_give(name):
    elements = [element(20, 31, 2), element(33, 24, 0), element(16, 16, 3)]
    batch = next(iter(dataset(elements).ragged_batch(3).map(LAYERS[name])))
    for index, given in enumerate(elements):
        alone = LAYERS[name](given)
        np.testing.assert_array_equal(batch["image_id"][index], given["image_id"])
        np.testing.assert_array_equal(rows(batch["images"], index, None), alone["images"])
        for key, expected in alone["bounding_boxes"].items():
            found = rows(batch["bounding_boxes"][key], index, None)
            # A ragged row without boxes has forgotten how large its masks are.
            assert len(found) == len(expected)
            if len(expected):
                np.testing.assert_array_equal(found, expected)
    static = name in ("resize", "pad")
    assert isinstance(batch["images"], tf.Tensor) == static


@pytest.mark.parametrize("name", LAYERS)
def test_a_dense_batch_stays_dense_and_padded(name):
    elements = [element(20, 31, 2), element(20, 31, 0), element(20, 31, 3)]
    padding = {"boxes": -1.0, "classes": -1, "area": 0.0, "masks": False}
    batches = dataset(elements).padded_batch(
        3, padding_values={"images": None, "bounding_boxes": padding, "image_id": None}
    )
    batch = next(iter(batches.map(LAYERS[name])))
    number = 4 if name == "pad" else 3
    for index, given in enumerate(elements):
        alone = LAYERS[name](given)
        np.testing.assert_array_equal(batch["images"][index], alone["images"])
        classes = batch["bounding_boxes"]["classes"][index].numpy()
        num_boxes = len(given["bounding_boxes"]["classes"])
        assert classes.shape == (number,)
        assert np.all(classes[num_boxes:] == -1)
        for key, expected in alone["bounding_boxes"].items():
            found = batch["bounding_boxes"][key][index].numpy()
            np.testing.assert_array_equal(found[:num_boxes], expected[:num_boxes])
            assert np.all(found[num_boxes:] == padding[key])


def test_arrays_in_arrays_out():
    given = [element(20, 31, 2), element(20, 31, 2)]
    batch = tf.nest.map_structure(lambda *arrays: np.stack(arrays), *given)
    result = LAYERS["flip"](batch)
    assert isinstance(result["images"], np.ndarray)
    np.testing.assert_array_equal(result["images"], batch["images"][:, :, ::-1])
    layer = RandomSizeCrop(5, 20, bounding_box_format="xyxy", seed=1)
    result = layer(batch)
    assert [type(image) for image in result["images"]] == [np.ndarray] * 2
    assert result["images"][0].shape != result["images"][1].shape
    assert result["bounding_boxes"]["classes"].shape == (2, 2)


def test_every_image_of_a_batch_draws_anew():
    images = np.zeros((400, 4, 6, 3), np.uint8)
    images[:, :, 0] = 255
    layer = RandomHorizontalFlip(0.5, bounding_box_format="xyxy", seed=3)
    is_flipped = layer({"images": images})["images"][:, 0, 0, 0] == 0
    assert 150 < is_flipped.sum() < 250
