# ruff: noqa: E402
import socket

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import tensorflow_datasets as tfds

from keras_detr.datasets import Shapes, ShapesConfig, load_shapes
from keras_detr.datasets.shape_drawing import CLASS_NAMES, draw_scene

CONFIG = {"num_train": 40, "num_validation": 10, "max_objects": 5, "empty_share": 0.2}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    tfds.disable_progress_bar()
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture(scope="module")
def elements(data_dir):
    return list(in_order(data_dir, ShapesConfig(**CONFIG)))


def in_order(data_dir, config):
    """Return the training images in the order of their files, which is always the same."""
    dataset = load_shapes(
        "train",
        data_dir=data_dir,
        bounding_box_format="xyxy",
        config=config,
        shuffle_files=False,
    )
    return dataset.as_numpy_iterator()


def redraw(element, config):
    rng = np.random.default_rng([config.seed, int(element["image_id"])])
    height, width = rng.integers(config.min_side, config.max_side + 1, 2)
    is_empty = rng.random() < config.empty_share
    num_objects = 0 if is_empty else int(rng.integers(1, config.max_objects + 1))
    sizes = config.min_size, config.max_size
    return draw_scene(rng, height, width, num_objects, sizes, config.max_tilt)


def test_boxes_are_the_extent_of_the_drawn_pixels(elements):
    config = ShapesConfig(**CONFIG)
    num_boxes = 0
    for element in elements:
        scene = redraw(element, config)
        found = element["bounding_boxes"]
        np.testing.assert_array_equal(found["classes"], scene.classes)
        for index in range(len(scene.classes)):
            rows, columns = np.nonzero(scene.owners == index)
            extent = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(found["boxes"][index], extent, atol=1e-4)
            assert found["area"][index] == len(rows)
            num_boxes += 1
        # JPEG changes noisy pixels by a few grey levels.
        assert np.abs(element["images"].astype(float) - scene.image).mean() < 12
    assert num_boxes > 50


def test_elements_have_the_one_structure(elements):
    assert len(elements) == 40
    counts = [len(element["bounding_boxes"]["classes"]) for element in elements]
    assert min(counts) == 0
    assert max(counts) >= 4
    classes = np.concatenate([element["bounding_boxes"]["classes"] for element in elements])
    assert set(classes) == set(range(len(CLASS_NAMES)))
    sizes = {element["images"].shape for element in elements}
    assert len(sizes) > 20
    for element in elements:
        assert element["bounding_box_format"] == b"xyxy"
        assert element["images"].dtype == np.uint8
        assert element["images"].shape[:2] == tuple(element["image_size"])
        assert not element["bounding_boxes"]["is_crowd"].any()
        assert 96 <= min(element["image_size"]) <= max(element["image_size"]) <= 160


def test_objects_stay_mostly_visible():
    rng = np.random.default_rng(0)
    num_overlaps = 0
    for _ in range(30):
        scene = draw_scene(rng, 100, 120, 5, (0.3, 0.5), 180)
        boxes = []
        for index in range(len(scene.classes)):
            rows, columns = np.nonzero(scene.owners == index)
            boxes.append((rows.min(), rows.max(), columns.min(), columns.max()))
            # A star fills a quarter of its box, and at most 30% of it is hidden.
            extent = np.ptp(rows) * np.ptp(columns)
            assert len(rows) > 0.15 * extent
        for index, (top, bottom, left, right) in enumerate(boxes):
            for other in boxes[:index]:
                is_apart = (
                    top > other[1] or other[0] > bottom or left > other[3] or other[2] > right
                )
                num_overlaps += not is_apart
    assert num_overlaps > 10


def test_the_builder_has_the_features_of_coco(data_dir):
    ours = Shapes(data_dir=data_dir).info.features
    theirs = tfds.builder("coco/2017", data_dir=data_dir).info.features
    assert set(ours) == set(theirs)
    assert ours.dtype == theirs.dtype
    assert set(ours["objects"].feature) == set(theirs["objects"].feature)
    assert isinstance(ours["objects"]["bbox"], tfds.features.BBoxFeature)
    assert ours["objects"]["label"].names == list(CLASS_NAMES)


def test_the_same_seed_draws_the_same_and_no_network_is_used(tmp_path, elements, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    config = ShapesConfig(**CONFIG)
    for left, right in zip(elements, in_order(tmp_path, config), strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, left, right)
    other = ShapesConfig(**CONFIG, seed=1)
    assert other.name != config.name
    assert next(in_order(tmp_path, other))["images"].shape != elements[0]["images"].shape


def test_splits_hold_different_images(data_dir, elements):
    config = ShapesConfig(**CONFIG)
    validation = load_shapes("validation", data_dir=data_dir, config=config)
    assert len(validation) == 10
    assert validation.class_names == list(CLASS_NAMES)
    held_out = {int(element["image_id"]) for element in validation.as_numpy_iterator()}
    assert held_out.isdisjoint({int(element["image_id"]) for element in elements})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_side": 200}, "`min_side` must be"),
        ({"max_size": 0.9}, "`min_size` and `max_size` must be"),
        ({"num_train": 0}, "`num_train`, `num_validation`"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ShapesConfig(**arguments)
