# ruff: noqa: E402
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from PIL import Image

from keras_detr.ops.boxes import BOX_FORMATS, convert_box_format
from keras_detr.preprocessing import ResizeShortestSide, resized_size


def size_by_the_paper_code(height, width, short_side, longest_side):
    """Re-derive the rule in plain Python: cap the short side, then cut the long one."""
    if (
        longest_side is not None
        and max(height, width) / min(height, width) * short_side > longest_side
    ):
        short_side = round(longest_side * float(min(height, width)) / float(max(height, width)))
    if min(height, width) == short_side:
        return height, width
    if width < height:
        return int(short_side * height / width), short_side
    return short_side, int(short_side * width / height)


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ((340, 200), (1332, 784)),
        ((480, 640), (800, 1066)),
        ((500, 333), (1201, 800)),
        ((5, 5), (800, 800)),
    ],
)
def test_known_sizes(given, size):
    assert resized_size(*given, 800, 1333) == size


def test_sizes_equal_the_original_rule_on_random_sizes():
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 1500, (10_000, 2)).tolist()
    limits = [(800, 1333), (480, 1333), (600, None), (400, None), (333, 500), (96, 160)]
    for index, (height, width) in enumerate(sizes):
        short_side, longest_side = limits[index % len(limits)]
        expected = size_by_the_paper_code(height, width, short_side, longest_side)
        assert resized_size(height, width, short_side, longest_side) == expected, (height, width)


def test_ties_round_to_even_as_python_does():
    # 1333 * 3 / 4 isn't a tie; 25 * 1 / 10 = 2.5 and 35 * 1 / 10 = 3.5 are.
    assert resized_size(10, 100, 800, 25) == size_by_the_paper_code(10, 100, 800, 25) == (2, 20)
    assert resized_size(10, 100, 800, 35) == size_by_the_paper_code(10, 100, 800, 35) == (4, 40)


def test_extreme_aspect_keeps_a_pixel_and_the_limit():
    assert resized_size(1, 5000, 800, 1333) == (1, 1333)
    assert resized_size(3000, 1, 800, 1333) == (1333, 1)
    assert resized_size(3, 50000, 800, 1333) == (1, 1333)
    assert resized_size(1, 5000, 800, None) == (800, 4_000_000)


def test_the_layer_draws_the_same_sizes_in_the_graph():
    rng = np.random.default_rng(1)
    sizes = rng.integers(20, 1500, (2_000, 2))
    layer = ResizeShortestSide(800, longest_side=1333, bounding_box_format="xyxy")

    def drawn(size):
        return layer.draw({"images": tf.zeros([size[0], size[1], 0])})["size"]

    graph_sizes = list(tf.data.Dataset.from_tensor_slices(sizes).map(drawn).as_numpy_iterator())
    expected = [resized_size(height, width, 800, 1333) for height, width in sizes.tolist()]
    np.testing.assert_array_equal(graph_sizes, expected)


@pytest.mark.parametrize("given", [(120, 90), (60, 100), (31, 47)])
def test_pixels_are_pil_antialiased_bilinear(given):
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (*given, 3)).astype(np.uint8)
    layer = ResizeShortestSide(50, longest_side=80, bounding_box_format="xyxy")
    resized = layer({"images": image})["images"]
    height, width = resized_size(*given, 50, 80)
    expected = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    assert resized.dtype == np.float32
    assert resized.shape == (height, width, 3)
    # PIL rounds to whole grey levels after each of its two passes.
    difference = np.abs(resized - np.asarray(expected, np.float32))
    assert difference.mean() < 1.0
    assert difference.max() <= 2.0


@pytest.mark.parametrize("bounding_box_format", sorted(BOX_FORMATS))
def test_painted_boxes_and_resized_boxes_agree(bounding_box_format):
    height, width = 60, 45
    image = np.zeros((height, width, 3), np.float32)
    box = np.array([[9, 12, 30, 48]], np.float32)
    image[12:48, 9:30] = 1
    given = convert_box_format(box, "xyxy", bounding_box_format, (height, width), np.stack)
    element = {
        "images": image,
        "bounding_boxes": {
            "boxes": np.concatenate([given, -np.ones((1, 4), np.float32)]),
            "classes": np.array([3, -1]),
            "area": np.array([21.0 * 36.0, 0.0]),
        },
        "image_id": np.int64(7),
    }
    result = ResizeShortestSide(90, longest_side=None, bounding_box_format=bounding_box_format)(
        element
    )
    assert result["images"].shape == (120, 90, 3)
    boxes = result["bounding_boxes"]["boxes"]
    there = convert_box_format(boxes[:1], bounding_box_format, "xyxy", (120, 90), np.stack)
    rows, columns = np.nonzero(result["images"][..., 0] >= 0.5)
    painted = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(there[0], painted, atol=1e-4)
    np.testing.assert_array_equal(boxes[1], [-1, -1, -1, -1])
    np.testing.assert_array_equal(result["bounding_boxes"]["classes"], [3, -1])
    np.testing.assert_allclose(result["bounding_boxes"]["area"][0], 42 * 72, rtol=1e-6)
    assert result["image_id"] == 7
    if BOX_FORMATS[bounding_box_format].is_relative:
        np.testing.assert_allclose(boxes[:1], given, atol=1e-7)


def test_boxes_scale_by_the_true_ratio_of_each_axis():
    element = {
        "images": np.zeros((340, 200, 3), np.uint8),
        "bounding_boxes": {
            "boxes": np.array([[0, 0, 200, 340]], np.float32),
            "classes": np.array([0]),
            "area": np.array([200 * 340]),
        },
    }
    result = ResizeShortestSide(800, longest_side=1333, bounding_box_format="xyxy")(element)
    np.testing.assert_allclose(result["bounding_boxes"]["boxes"], [[0, 0, 784, 1332]], rtol=1e-6)
    np.testing.assert_allclose(result["bounding_boxes"]["area"], [784 * 1332], rtol=1e-6)


@pytest.mark.parametrize(("short_side", "longest_side"), [(0, 10), (20, 10)])
def test_sides_in_the_wrong_order_are_refused(short_side, longest_side):
    with pytest.raises(ValueError, match="`short_side` must be"):
        ResizeShortestSide(short_side, longest_side=longest_side, bounding_box_format="xyxy")
