# ruff: noqa: E402
"""What every box-aware layer promises; a new layer enters by one row."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")


from keras_detr import preprocessing

LAYERS = [
    ("Resize", {"size": (20, 33)}),
    ("ResizeShortestSide", {"short_side": 20, "longest_side": 33}),
    ("RandomHorizontalFlip", {"rate": 1.0, "seed": 5}),
    ("RandomResizeShortestSide", {"short_sides": (20,), "longest_side": 33, "seed": 5}),
    ("RandomSizeCrop", {"min_size": 40, "max_size": 50, "seed": 5}),
    ("RandomChoice", {"pipelines": ((),), "rates": (1.0,), "seed": 5}),
    (
        "DETRAugmentation",
        {
            "short_sides": (20,),
            "longest_side": 33,
            "crop_short_sides": (25,),
            "crop_sizes": (99, 99),
            "flip_rate": 1.0,
            "seed": 5,
        },
    ),
    ("DETRPreprocessor", {"short_side": 20, "longest_side": 33}),
    ("PadToCanvas", {"canvas_size": (40, 50), "max_boxes": 7}),
]


def build(name, arguments, **kwargs):
    return getattr(preprocessing, name)(**arguments, **{"bounding_box_format": "xyxy", **kwargs})


def element(**changes):
    bounding_boxes = {
        "boxes": np.array([[2, 3, 10, 20], [0, 0, 40, 30]], np.float32),
        "classes": np.array([1, 0], np.int32),
    }
    return {"images": np.zeros((30, 40, 3), np.uint8), "bounding_boxes": bounding_boxes, **changes}


@pytest.mark.parametrize(("name", "arguments"), LAYERS)
class TestEveryLayer:
    def test_config_round_trip(self, name, arguments):
        layer = build(name, arguments)
        config = keras.saving.serialize_keras_object(layer)
        assert config["registered_name"] == f"keras_detr>{name}"
        again = keras.saving.deserialize_keras_object(config)
        assert again.get_config() == layer.get_config()
        for argument, value in arguments.items():
            assert getattr(again, argument) == value

    def test_missing_format_is_an_error(self, name, arguments):
        with pytest.raises(ValueError, match="`bounding_box_format` is missing"):
            build(name, arguments, bounding_box_format=None)

    def test_unknown_format_is_an_error(self, name, arguments):
        with pytest.raises(ValueError, match="Received: 'coco'"):
            build(name, arguments, bounding_box_format="coco")

    def test_numpy_and_tf_data_agree(self, name, arguments):
        given = element(image_id=np.int64(3))
        eager = build(name, arguments)(given)
        dataset = tf.data.Dataset.from_tensors(given).map(build(name, arguments))
        mapped = next(dataset.as_numpy_iterator())
        assert isinstance(eager["images"], np.ndarray)
        tf.nest.assert_same_structure(eager, mapped)
        for left, right in zip(tf.nest.flatten(eager), tf.nest.flatten(mapped), strict=True):
            np.testing.assert_array_equal(left, right)
            assert left.dtype == right.dtype

    def test_input_is_not_changed(self, name, arguments):
        given = element()
        build(name, arguments)(given)
        assert sorted(given) == ["bounding_boxes", "images"]
        np.testing.assert_array_equal(
            given["bounding_boxes"]["boxes"], element()["bounding_boxes"]["boxes"]
        )

    def test_works_without_boxes_and_without_objects(self, name, arguments):
        result = build(name, arguments)({"images": element()["images"]})
        assert "bounding_boxes" not in result
        empty = {"boxes": np.zeros((0, 4), np.float32), "classes": np.zeros((0,), np.int32)}
        result = build(name, arguments)(element(bounding_boxes=empty))
        assert np.all(result["bounding_boxes"]["classes"] == -1)
        assert result["bounding_boxes"]["boxes"].shape[1:] == (4,)

    def test_wrong_axes_are_refused(self, name, arguments):
        images = np.zeros((2, 2, 30, 40, 3), np.uint8)
        with pytest.raises(ValueError, match=r"batch of images .* \(2, 2, 30, 40, 3\)"):
            build(name, arguments)({"images": images})

    @pytest.mark.parametrize("carried", ["xyxy", b"xyxy", np.array(b"xyxy", object)])
    def test_the_format_that_an_element_carries_stays(self, name, arguments, carried):
        layer, given = build(name, arguments), element(bounding_box_format=carried)
        mapped = next(tf.data.Dataset.from_tensors(given).map(layer).as_numpy_iterator())
        assert mapped["bounding_box_format"] == layer(given)["bounding_box_format"] == b"xyxy"
        batch = tf.nest.map_structure(lambda array: np.stack([array] * 2), element())
        for of_batch in ("xyxy", ["xyxy"] * 2):
            result = layer({**batch, "bounding_box_format": of_batch})["bounding_box_format"]
            assert set(np.ravel(result)) == {b"xyxy"}

    def test_another_format_than_an_element_carries_is_refused(self, name, arguments):
        layer, given = build(name, arguments), element(bounding_box_format="rel_xyxy")
        message = f"{layer.name} takes boxes as .*xyxy.* Received the entry:.*rel_xyxy"
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            layer(given)
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            list(tf.data.Dataset.from_tensors(given).map(layer))
        batch = tf.nest.map_structure(lambda array: np.stack([array] * 2), element())
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            layer({**batch, "bounding_box_format": ["xyxy", "rel_xyxy"]})

    def test_padded_images_are_refused(self, name, arguments):
        padded = element(pixel_mask=np.ones((30, 40), np.uint8))
        with pytest.raises(ValueError, match="`PadToCanvas` the last layer"):
            build(name, arguments)(padded)

    @pytest.mark.parametrize(
        ("boxes", "classes", "message"),
        [
            (np.zeros((2, 5)), np.zeros(2, int), r"`boxes` must have the shape \(N, 4\).*\(2, 5\)"),
            (np.zeros(4), np.zeros(1, int), r"`boxes` must have the shape \(N, 4\).*\(4,\)"),
            (np.zeros((2, 4)), np.zeros((2, 3), int), r"`classes` must agree.*\(N\).*\(2, 3\)"),
            (np.zeros((2, 4)), np.zeros(3, int), r"agree in length.*\(2, 4\), \(3,\)"),
            (np.zeros((2, 4)), np.full(2, "a"), "`classes` must be an array of numbers"),
        ],
    )
    def test_wrong_shapes_are_refused(self, name, arguments, boxes, classes, message):
        layer = build(name, arguments)
        wrong = element(bounding_boxes={"boxes": boxes, "classes": classes})
        with pytest.raises(ValueError, match=f"{layer.name}: .*{message}"):
            layer(wrong)

    def test_masks_of_another_size_than_the_image_are_refused(self, name, arguments):
        boxes = {**element()["bounding_boxes"], "masks": np.ones((2, 40, 30), bool)}
        with pytest.raises(tf.errors.InvalidArgumentError, match="`masks` must have the height"):
            build(name, arguments)(element(bounding_boxes=boxes))

    def test_wrong_values_are_refused(self, name, arguments):
        wrong = element(bounding_boxes={"boxes": np.zeros((2, 4)), "classes": np.zeros(3, int)})
        # As shapes that tf.data knows only when it runs.
        specs = tf.nest.map_structure(
            lambda array: tf.TensorSpec([None] * array.ndim, array.dtype), wrong
        )
        dataset = tf.data.Dataset.from_generator(lambda: [wrong], output_signature=specs)
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=r"one row a box.*Received:\D*3\D*2"
        ):
            next(iter(dataset.map(build(name, arguments))))
        wrong = element(bounding_boxes={"boxes": np.zeros((1, 4)), "classes": np.array([0.5])})
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"whole numbers.*0\.5"):
            build(name, arguments)(wrong)

    @pytest.mark.parametrize("wrong", [np.zeros((3, 4, 3)), {"image": np.zeros((3, 4, 3))}])
    def test_wrong_structure_is_refused(self, name, arguments, wrong):
        if name == "DETRPreprocessor" and not isinstance(wrong, dict):
            wrong = {"image": wrong}  # It takes images alone too.
        with pytest.raises(ValueError, match="a dict with the key 'images'"):
            build(name, arguments)(wrong)
        with pytest.raises(ValueError, match="dict with 'boxes' and 'classes'"):
            build(name, arguments)(element(bounding_boxes={"boxes": np.zeros((1, 4))}))


PIPELINE = """
import keras, numpy as np, tensorflow as tf
from keras_detr.preprocessing import PadToCanvas, RandomHorizontalFlip, ResizeShortestSide
boxes = {"boxes": np.array([[2, 3, 10, 20]], np.float32), "classes": np.array([1])}
element = {"images": np.zeros((30, 40, 3), np.uint8), "bounding_boxes": boxes}
layers = [
    ResizeShortestSide(60, longest_side=100, bounding_box_format="xyxy"),
    RandomHorizontalFlip(1.0, bounding_box_format="xyxy"),
    PadToCanvas((80, 90), max_boxes=2, bounding_box_format="xyxy"),
]
dataset = tf.data.Dataset.from_tensors(element)
for layer in layers:
    dataset = dataset.map(layer)
    element = layer(element)
batch = next(iter(dataset.batch(1).as_numpy_iterator()))
for found in (batch["bounding_boxes"]["boxes"][0], element["bounding_boxes"]["boxes"]):
    np.testing.assert_allclose(found, [[60, 6, 76, 40], [-1, -1, -1, -1]], rtol=1e-6)
assert batch["images"].shape == (1, 80, 90, 3)
print("fine on", keras.backend.backend())
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_layers_run_in_tf_data_under_other_backends(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} isn't installed: pip install {backend}")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run(
        [sys.executable, "-c", PIPELINE], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert f"fine on {backend}" in run.stdout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": {"left": np.zeros((3, 4, 3))}}, "`images` must be one image.*dict of .'left'"),
        ({"images": "a.jpg"}, r"`images` must be one image.*\(\)"),
        ({"bounding_boxes": {"boxes": np.zeros((1, 4)), "labels": np.zeros(1)}}, "Rename 'labels'"),
    ],
)
def test_what_is_no_element_is_shown(changes, message):
    layer = build("RandomHorizontalFlip", {"rate": 1.0})
    with pytest.raises(ValueError, match=f"{layer.name}: .*{message}"):
        layer(element(**changes))


def test_lists_are_arrays_too():
    lists = {"boxes": [[2, 3, 10, 20], [0, 0, 40, 30]], "classes": [1, 0]}
    layer = build("Resize", {"size": (60, 80)})
    found, expected = layer(element(bounding_boxes=lists)), layer(element())
    for key, rows in expected["bounding_boxes"].items():
        np.testing.assert_array_equal(found["bounding_boxes"][key], rows)
