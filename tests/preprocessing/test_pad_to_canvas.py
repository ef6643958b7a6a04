# ruff: noqa: E402
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")


from keras_detr.ops.boxes import BOX_FORMATS
from keras_detr.preprocessing import PadToCanvas


def element(height=6, width=9, num_boxes=2, dtype=np.float32):
    return {
        "images": np.full((height, width, 3), 7, dtype),
        "bounding_boxes": {
            "boxes": np.linspace(0.1, 0.9, 4 * num_boxes, dtype=np.float32).reshape(-1, 4),
            "classes": np.arange(num_boxes, dtype=np.int32),
            "area": np.full(num_boxes, 5.0, np.float32),
            "is_crowd": np.ones(num_boxes, bool),
        },
        "image_id": np.int64(4),
    }


@pytest.mark.parametrize("bounding_box_format", sorted(BOX_FORMATS))
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_padding_changes_no_box(bounding_box_format, dtype):
    given = element(dtype=dtype)
    layer = PadToCanvas((8, 12), max_boxes=5, bounding_box_format=bounding_box_format)
    result = layer(given)
    assert result["images"].shape == (8, 12, 3)
    assert result["images"].dtype == dtype
    np.testing.assert_array_equal(result["images"][:6, :9], given["images"])
    mask = np.zeros((8, 12), np.uint8)
    mask[:6, :9] = 1
    np.testing.assert_array_equal(result["pixel_mask"], mask)
    assert result["images"].sum() == given["images"].sum()
    boxes = result["bounding_boxes"]
    np.testing.assert_array_equal(boxes["boxes"][:2], given["bounding_boxes"]["boxes"])
    np.testing.assert_array_equal(boxes["boxes"][2:], np.full((3, 4), -1))
    np.testing.assert_array_equal(boxes["classes"], [0, 1, -1, -1, -1])
    np.testing.assert_array_equal(boxes["area"], [5, 5, 0, 0, 0])
    np.testing.assert_array_equal(boxes["is_crowd"], [True, True, False, False, False])
    assert result["image_id"] == 4


@pytest.mark.parametrize("num_boxes", [0, 3])
def test_no_boxes_and_exactly_as_many_as_allowed(num_boxes):
    result = PadToCanvas((6, 9), max_boxes=3, bounding_box_format="xyxy")(
        element(num_boxes=num_boxes)
    )
    expected = [*range(num_boxes), *[-1] * (3 - num_boxes)]
    np.testing.assert_array_equal(result["bounding_boxes"]["classes"], expected)
    assert result["pixel_mask"].all()


def test_shapes_are_static_for_batching():
    layer = PadToCanvas((8, 12), max_boxes=5, bounding_box_format="xyxy")
    elements = [element(4, 9, 0), element(8, 12, 5), element(1, 1, 1)]
    spec = {
        "images": tf.TensorSpec((None, None, 3)),
        "bounding_boxes": {
            "boxes": tf.TensorSpec((None, 4)),
            "classes": tf.TensorSpec((None,), tf.int32),
            "area": tf.TensorSpec((None,)),
            "is_crowd": tf.TensorSpec((None,), tf.bool),
        },
        "image_id": tf.TensorSpec((), tf.int64),
    }
    dataset = tf.data.Dataset.from_generator(lambda: elements, output_signature=spec)
    dataset = dataset.map(layer).batch(3, drop_remainder=True)
    shapes = tf.nest.map_structure(lambda spec: tuple(spec.shape), dataset.element_spec)
    assert shapes["images"] == (3, 8, 12, 3)
    assert shapes["pixel_mask"] == (3, 8, 12)
    assert shapes["bounding_boxes"]["boxes"] == (3, 5, 4)
    batch = next(iter(dataset.as_numpy_iterator()))
    np.testing.assert_array_equal(batch["pixel_mask"].sum((1, 2)), [36, 96, 1])
    np.testing.assert_array_equal((batch["bounding_boxes"]["classes"] >= 0).sum(1), [0, 5, 1])


@pytest.mark.parametrize("is_in_graph", [False, True])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (element(height=20), r"20.9.*is larger than `canvas_size` \(8, 12\)"),
        (element(width=13), r"6.*13.*is larger than `canvas_size` \(8, 12\)"),
        (element(num_boxes=6), r"6.*boxes, more than `max_boxes` 5"),
    ],
)
def test_too_large_is_an_error_with_both_numbers(is_in_graph, given, message):
    layer = PadToCanvas((8, 12), max_boxes=5, bounding_box_format="xyxy")
    if is_in_graph:
        dataset = tf.data.Dataset.from_tensors(given).map(layer)
        with pytest.raises(tf.errors.InvalidArgumentError, match=message.replace("20.9", "20 9")):
            next(iter(dataset))
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message.replace("20.9", "20, 9")):
            layer(given)


@pytest.mark.parametrize("canvas_size", [(8,), (0, 4), (1, 2, 3)])
def test_wrong_canvas_is_refused(canvas_size):
    with pytest.raises(ValueError, match="`canvas_size` must be"):
        PadToCanvas(canvas_size, max_boxes=5, bounding_box_format="xyxy")


def test_missing_max_boxes_is_refused():
    with pytest.raises(ValueError, match="`max_boxes` must be"):
        PadToCanvas((8, 12), bounding_box_format="xyxy")
