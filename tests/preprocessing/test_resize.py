# ruff: noqa: E402
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from PIL import Image

from keras_detr.ops.boxes import BOX_FORMATS, convert_box_format
from keras_detr.preprocessing import Resize


def test_pixels_are_pil_antialiased_bilinear():
    image = np.random.default_rng(0).integers(0, 256, (120, 90, 3)).astype(np.uint8)
    resized = Resize((40, 64), bounding_box_format="xyxy")({"images": image})["images"]
    expected = Image.fromarray(image).resize((64, 40), Image.Resampling.BILINEAR)
    assert resized.dtype == np.float32
    assert resized.shape == (40, 64, 3)
    # PIL rounds to whole grey levels after each of its two passes.
    assert np.abs(resized - np.asarray(expected, np.float32)).max() <= 2.0


@pytest.mark.parametrize("bounding_box_format", sorted(BOX_FORMATS))
def test_painted_boxes_and_stretched_boxes_agree(bounding_box_format):
    image = np.zeros((60, 45, 3), np.float32)
    image[12:48, 9:30] = 1
    box = np.array([[9, 12, 30, 48]], np.float32)
    boxes = convert_box_format(box, "xyxy", bounding_box_format, (60, 45), np.stack)
    element = {
        "images": image,
        "bounding_boxes": {"boxes": boxes, "classes": [0], "area": [21.0 * 36.0]},
    }
    result = Resize((180, 90), bounding_box_format=bounding_box_format)(element)
    stretched = convert_box_format(
        result["bounding_boxes"]["boxes"], bounding_box_format, "xyxy", (180, 90), np.stack
    )
    rows, columns = np.nonzero(result["images"][..., 0] >= 0.5)
    painted = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(stretched[0], painted, atol=1e-4)
    np.testing.assert_allclose(result["bounding_boxes"]["area"], [42 * 108], rtol=1e-6)


@pytest.mark.parametrize("dtype", [bool, np.uint8])
@pytest.mark.parametrize("size", [(40, 64), (333, 91), (121, 93), (1, 1)])
def test_masks_are_pil_nearest(size, dtype):
    # Of odd sides no two pixels are equally near.
    masks = np.random.default_rng(0).integers(0, 2, (2, 121, 93)).astype(dtype)
    boxes = {"boxes": np.ones((2, 4)), "classes": [0, 1], "masks": masks}
    element = {"images": np.zeros((121, 93, 3), np.uint8), "bounding_boxes": boxes}
    resized = Resize(size, bounding_box_format="xyxy")(element)["bounding_boxes"]["masks"]
    assert resized.dtype == dtype
    for mask, found in zip(masks, resized, strict=True):
        picture = Image.fromarray(mask.astype(np.uint8))
        expected = picture.resize(size[::-1], Image.Resampling.NEAREST)
        np.testing.assert_array_equal(found, expected)


def test_a_data_set_knows_the_size():
    dataset = tf.data.Dataset.from_generator(
        lambda: iter([{"images": np.zeros((5, 7, 3), np.uint8)}]),
        output_signature={"images": tf.TensorSpec((None, None, 3), tf.uint8)},
    )
    mapped = dataset.map(Resize((20, 33), bounding_box_format="xyxy"))
    assert mapped.element_spec["images"].shape == (20, 33, 3)


@pytest.mark.parametrize("size", [(0, 10), (10,), (10, 20, 3)])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(ValueError, match=r"`size` must be .*Received: "):
        Resize(size, bounding_box_format="xyxy")
