# ruff: noqa: E402
"""What the layers that draw sizes, regions and pipelines draw."""

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")


from keras_detr.preprocessing import (
    DETRAugmentation,
    RandomChoice,
    RandomHorizontalFlip,
    RandomResizeShortestSide,
    RandomSizeCrop,
    resized_size,
)

FORMAT = {"bounding_box_format": "xyxy"}


def mapped(layer, element, number):
    dataset = tf.data.Dataset.from_tensors(element).repeat(number).map(layer)
    return list(dataset.as_numpy_iterator())


def test_each_short_side_is_drawn_and_rounded_as_the_original_does():
    layer = RandomResizeShortestSide((30, 41, 52), longest_side=80, seed=1, **FORMAT)
    results = mapped(layer, {"images": np.zeros((34, 61, 3), np.uint8)}, 300)
    sizes = [result["images"].shape[:2] for result in results]
    expected = {resized_size(34, 61, side, 80) for side in (30, 41, 52)}
    assert set(sizes) == expected
    for size in expected:
        assert 60 < sizes.count(size) < 140


def test_a_region_is_cut_out_as_drawn():
    # Every pixel says where it came from.
    rows, columns = np.mgrid[:40, :50].astype(np.uint8)
    image = np.stack([rows, columns, rows], axis=-1)
    results = mapped(RandomSizeCrop(20, 44, seed=2, **FORMAT), {"images": image}, 600)
    heights = [result["images"].shape[0] for result in results]
    widths = [result["images"].shape[1] for result in results]
    # Up to the largest size or the image's own side.
    assert set(heights) == set(range(20, 41))
    assert set(widths) == set(range(20, 45))
    for result in results:
        top, left = result["images"][0, 0, :2]
        height, width = result["images"].shape[:2]
        expected = image[top : top + height, left : left + width]
        np.testing.assert_array_equal(result["images"], expected)
    assert {0, 1, 2}.issubset({result["images"][0, 0, 0] for result in results})


def test_an_image_smaller_than_the_region_stays_whole():
    image = np.zeros((12, 50, 3), np.uint8)
    result = RandomSizeCrop(20, 30, seed=2, **FORMAT)({"images": image})
    assert result["images"].shape[0] == 12
    assert 20 <= result["images"].shape[1] <= 30


def test_emptied_boxes_go_with_all_that_belongs_to_them():
    rows = {
        "boxes": np.array([[0, 0, 5, 5], [10, 10, 60, 30], [95, 95, 100, 100]], np.float32),
        "classes": np.array([3, 4, 5]),
        "area": np.array([20.0, 700.0, 20.0], np.float32),
        "is_crowd": np.array([False, True, False]),
        "name": np.array([b"first", b"second", b"third"]),
    }
    element = {"images": np.zeros((100, 100, 3), np.uint8), "bounding_boxes": rows}
    layer = RandomSizeCrop(30, 40, seed=0, **FORMAT)
    counts = set()
    for result in mapped(layer, element, 200):
        found = result["bounding_boxes"]
        counts.add(len(found["classes"]))
        height, width = result["images"].shape[:2]
        for index, label in enumerate(found["classes"]):
            assert found["name"][index] == rows["name"][label - 3]
            assert found["is_crowd"][index] == rows["is_crowd"][label - 3]
            left, top, right, bottom = found["boxes"][index]
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
            assert found["area"][index] == (right - left) * (bottom - top)
    assert counts >= {0, 1}


def test_pipelines_are_taken_at_their_rates():
    flip = RandomHorizontalFlip(1.0, **FORMAT)
    layer = RandomChoice([[flip], [flip, flip], []], [0.5, 0.2, 0.3], seed=4, **FORMAT)
    image = np.zeros((2, 3, 3), np.uint8)
    image[:, 0] = 200
    results = mapped(layer, {"images": image}, 1000)
    is_flipped = [result["images"][0, 0, 0] == 0 for result in results]
    assert 430 < sum(is_flipped) < 570
    assert results[0]["images"].dtype == np.float32


def test_a_choice_survives_a_round_trip():
    crop = RandomSizeCrop(5, 9, seed=8, **FORMAT)
    layer = RandomChoice([[crop], []], [0.25, 0.75], seed=4, **FORMAT)
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == layer.get_config()
    assert again.pipelines[0][0].get_config() == crop.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pipelines": []}, "at least one pipeline"),
        ({"pipelines": [[], []], "rates": [0.5, 0.6]}, "sum to 1"),
        ({"pipelines": [[], []], "rates": [1.0]}, "2 probabilities"),
        ({"pipelines": [[keras.layers.Identity()]]}, "`BoxAwareLayer`"),
        (
            {"pipelines": [[RandomHorizontalFlip(bounding_box_format="xywh")]]},
            "'xywh' for RandomHorizontalFlip",
        ),
    ],
)
def test_wrong_pipelines_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomChoice(**arguments, **FORMAT)


@pytest.mark.parametrize("sizes", [(0, 5), (6, 5)])
def test_wrong_region_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="`min_size` must be"):
        RandomSizeCrop(*sizes, **FORMAT)


def test_the_papers_augmentation():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (60, 80, 3)).astype(np.uint8)
    layer = DETRAugmentation(
        (40, 60),
        longest_side=100,
        crop_short_sides=(30, 50),
        crop_sizes=(25, 40),
        seed=3,
        **FORMAT,
    )
    sizes = [result["images"].shape[:2] for result in mapped(layer, {"images": image}, 400)]
    whole = [size in ((40, 53), (60, 80)) for size in sizes]
    assert 0.4 < np.mean(whole) < 0.65
    assert len(set(sizes)) > 20
    assert {min(size) for size in sizes} >= {40, 60}
    assert max(max(size) for size in sizes) <= 100


def test_a_seed_repeats_the_draws_and_an_epoch_does_not():
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    settings = {"crop_short_sides": (40,), "crop_sizes": (20, 40), **FORMAT}

    def sizes(dataset):
        return [element["images"].shape for element in dataset.as_numpy_iterator()]

    def dataset(seed):
        layer = DETRAugmentation((30, 40, 50), seed=seed, **settings)
        return tf.data.Dataset.from_tensors({"images": image}).repeat(20).map(layer)

    first = dataset(1)
    epochs = sizes(first), sizes(first)
    assert epochs[0] != epochs[1]
    assert sizes(dataset(1)) == epochs[0]
    assert sizes(dataset(2)) != epochs[0]
    assert sizes(dataset(None)) != sizes(dataset(None))


def test_without_a_seed_the_draws_follow_the_seed_of_keras():
    def draws():
        layers = [RandomHorizontalFlip(seed=None, **FORMAT) for _ in range(2)]
        return [[bool(layer.draw({})["is_flipped"]) for _ in range(40)] for layer in layers]

    keras.utils.set_random_seed(1)
    first, following = draws(), draws()
    keras.utils.set_random_seed(1)
    assert draws() == first
    assert following != first
    assert first[0] != first[1]
