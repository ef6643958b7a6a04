# ruff: noqa: E402
"""Training on arrays and on data sets accepts and refuses the same batches."""

import os
import subprocess
import sys

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from hypothesis import given, settings
from hypothesis import strategies as st

from keras_detr.batches import DroppedBoxes, check_training_batch
from keras_detr.ops.boxes import BOX_FORMATS, convert_box_format
from keras_detr.ops.target_objects import pack_target_objects
from tests.batches.checked_batches import (
    BOXES,
    CLASSES,
    HEIGHT,
    IMAGES,
    REFUSALS,
    WIDTH,
    batch,
    changed,
    mask,
    through_arrays,
    through_data_set,
)

BOTH = pytest.mark.parametrize("check", [through_arrays, through_data_set])


@BOTH
class TestArraysAndDataSets:
    def test_a_good_batch_passes_unchanged(self, check):
        checked = check(*batch())
        np.testing.assert_array_equal(checked["boxes"], BOXES)
        np.testing.assert_array_equal(checked["classes"], CLASSES)
        assert checked["boxes"].dtype == np.float32
        assert checked["classes"].dtype == np.int32

    @pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64, np.uint8])
    def test_number_types_are_brought_into_one(self, check, dtype):
        classes = np.array([[0, 2], [1, 1]], dtype)
        checked = check(*batch(boxes=np.abs(BOXES).astype(np.float64), classes=classes))
        assert checked["boxes"].dtype == np.float32
        assert checked["classes"].dtype == np.int32
        np.testing.assert_array_equal(checked["classes"], classes)

    @pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float16])
    def test_images_of_other_types_pass(self, check, dtype):
        check(*batch(images=np.full((2, HEIGHT, WIDTH, 3), 255, dtype)))

    def test_no_boxes_at_all_pass(self, check):
        checked = check(*batch(boxes=np.zeros((2, 0, 4)), classes=np.zeros((2, 0), int)))
        assert checked["boxes"].shape == (2, 0, 4)
        assert checked["classes"].shape == (2, 0)

    def test_padding_may_hold_anything(self, check):
        boxes = changed(BOXES, (1, 1), [np.nan, np.inf, -500, 9000])
        np.testing.assert_array_equal(check(*batch(boxes=boxes))["classes"], CLASSES)

    @pytest.mark.parametrize(
        "box", [[-5, -5, 5, 5], [35, 25, 60, 60], [7, 7, 7, 7], [40, 30, 40, 30], [20, 20, 10, 10]]
    )
    def test_boxes_partly_outside_or_without_area_pass(self, check, box):
        check(*batch(boxes=changed(BOXES, (0, 0), box)))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"classes": changed(CLASSES, (0, 1), 3)}, r"from 0 to 2 .*Received:[\] \[]+3"),
            ({"classes": changed(CLASSES, (1, 0), -2)}, r"from 0 to 2 .*Received:[\] \[]+-2"),
            ({"classes": changed(CLASSES, (0, 0), 0.5, float)}, r"whole .*Received:[\] \[]+0\.5"),
            (
                {"classes": changed(CLASSES, (0, 0), np.nan, float)},
                r"whole .*Received:[\] \[]+-?nan",
            ),
            ({"images": changed(IMAGES, (1, 5, 5, 2), np.nan)}, r"`images` must be finite.*1"),
            ({"images": changed(IMAGES, (0, 5, 5, 2), -np.inf)}, r"`images` must be finite.*0"),
            ({"boxes": changed(BOXES, (0, 1, 2), np.nan)}, r"`boxes` must be finite.*nan"),
            ({"boxes": changed(BOXES, (0, 1, 2), np.inf)}, r"`boxes` must be finite.*inf"),
            (
                {"boxes": changed(BOXES, (1, 0), [50, 5, 60, 9])},
                r"50.*lies outside its image .*30.*40.*`xyxy`.*`bounding_box_format`",
            ),
            ({"boxes": changed(BOXES, (1, 0), [-9, 5, -2, 9])}, r"-9.*lies outside its image"),
            ({"boxes": BOXES[0]}, r"`boxes` must have the shape \(batch, N, 4\)|differ|agree"),
            ({"boxes": np.zeros((2, 2, 5))}, r"`boxes` must have the shape .*\(2, 2, 5\)"),
            ({"classes": np.zeros((2, 3), int)}, r"agree in length.*2, 2, 4.*2, 3"),
            ({"classes": np.zeros((2, 2, 3), int)}, r"`classes`.*(2, 2, 3)"),
            (
                {"boxes": BOXES[:1], "classes": CLASSES[:1]},
                r"`images`.*agree in length|`boxes` and `images` must agree",
            ),
            ({"images": IMAGES[0]}, r"`images` must have the shape .*\(30, 40, 3\)"),
            (
                {"pixel_mask": np.ones((2, 30, 30), int)},
                r"`pixel_mask` must have the shape of `images`",
            ),
        ],
    )
    def test_a_bad_value_is_shown(self, check, changes, message):
        with pytest.raises(REFUSALS, match=f"(?s){message}"):
            check(*batch(**changes))

    def test_a_box_in_the_padding_is_outside(self, check):
        boxes = changed(BOXES, (0, 1), [21, 11, 30, 25])
        check(*batch(boxes=boxes, pixel_mask=mask(12, 22)))
        with pytest.raises(REFUSALS, match=r"(?s)21.*lies outside its image .*12.*20"):
            check(*batch(boxes=boxes, pixel_mask=mask(12, 20)))
        with pytest.raises(REFUSALS, match=r"(?s)21.*lies outside its image .*10.*22"):
            check(*batch(boxes=boxes, pixel_mask=mask(10, 22)))

    def test_an_image_with_too_many_objects_is_named(self, check):
        check(*batch(), num_queries=2)
        check(*batch(boxes=changed(BOXES, (0, 0), [7, 7, 7, 7])), num_queries=1)
        named = batch(image_id=np.array([31, 32]))
        with pytest.raises(REFUSALS, match=r"image 0 \(image_id 31\) .*2 objects, .* 1 queries"):
            check(*named, num_queries=1)

    def test_fractions_declared_as_pixels_are_found(self, check):
        fractions = np.where(CLASSES[..., None] < 0, -1, BOXES / [WIDTH, HEIGHT, WIDTH, HEIGHT])
        check(*batch(boxes=fractions), bounding_box_format="rel_xyxy")
        for box_format in ("xyxy", "xywh", "center_xywh"):
            with pytest.raises(REFUSALS, match=f"all boxes of a batch lie in 0..1.*{box_format}"):
                check(*batch(boxes=fractions), bounding_box_format=box_format)
        # One box in pixels, a pixel in the corner, and tiny images are what they say.
        check(*batch(boxes=changed(fractions, (0, 0), [2, 3, 10, 20])))
        check(*batch(boxes=np.where(BOXES < 0, -1, np.array([0.0, 0, 1, 1]))))
        check(*batch(boxes=fractions, images=np.zeros((2, 8, 9, 3), np.float32)))

    def test_pixels_declared_as_fractions_are_found(self, check):
        with pytest.raises(REFUSALS, match=r"(?s)lies outside its image .*`rel_xyxy`"):
            check(*batch(), bounding_box_format="rel_xyxy")

    @given(
        bounding_box_format=st.sampled_from(sorted(BOX_FORMATS)),
        center=st.tuples(st.floats(-2, 3), st.floats(-2, 3)),
        size=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    )
    @settings(max_examples=25, deadline=None)
    def test_outside_is_what_misses_the_image(self, check, bounding_box_format, center, size):
        (x, y), (w, h) = center, size
        box = np.array([[[x - w / 2, y - h / 2, x + w / 2, y + h / 2]]])
        boxes = convert_box_format(box, "rel_xyxy", bounding_box_format, (HEIGHT, WIDTH), np.stack)
        gap = max(box[0, 0, :2].max() - 1, -box[0, 0, 2:].min())
        if abs(gap) < 1e-3:
            return  # At the border rounding decides.
        arguments = batch(images=IMAGES[:1], boxes=boxes, classes=np.zeros((1, 1), int))
        if gap > 0:
            with pytest.raises(REFUSALS, match="lies outside its image"):
                check(*arguments, bounding_box_format=bounding_box_format)
        else:
            check(*arguments, bounding_box_format=bounding_box_format)

    @pytest.mark.parametrize(
        "changes",
        [
            {"classes": changed(CLASSES, (1, 0), 3)},
            {"images": changed(IMAGES, (1, 5, 5, 2), np.nan)},
            {"boxes": changed(BOXES, (1, 0, 2), np.nan)},
            {"boxes": changed(BOXES, (1, 0), [50, 5, 60, 9])},
        ],
    )
    @pytest.mark.parametrize("ids", [[42, 77], ["first", "77.jpg"]])
    def test_the_image_is_named_by_its_id(self, check, changes, ids):
        with pytest.raises(REFUSALS, match=r"image_id\W*77"):
            check(*batch(**changes, image_id=np.array(ids)))

    @pytest.mark.parametrize("ids", [np.int64(5), np.zeros((2, 1), int)])
    def test_what_cannot_name_images_is_left_aside(self, check, ids):
        with pytest.raises(REFUSALS, match="lies outside") as raised:
            check(*batch(boxes=changed(BOXES, (1, 0), [50, 5, 60, 9]), image_id=ids))
        assert "image_id" not in str(raised.value)

    @pytest.mark.parametrize("ids", [None, [42, 77], ["first", "77.jpg"]])
    def test_boxes_without_area_are_reported_once(self, check, ids, caplog):
        boxes = changed(BOXES, (1, 0), [7, 8, 7, 9])
        boxes[0] = [[50, 2, 40, 4], [-5, -5, 0, 0]]
        changes = {"boxes": boxes} if ids is None else {"boxes": boxes, "image_id": np.array(ids)}
        dropped = DroppedBoxes()
        check(*batch(), dropped=dropped)
        assert caplog.records == []
        for _ in range(2):
            np.testing.assert_array_equal(check(*batch(**changes), dropped=dropped)["boxes"], boxes)
        check(*batch(**changes))
        (record,) = caplog.records
        message = record.getMessage()
        assert "3 of a batch have no area inside of their image" in message
        assert "[7.0, 8.0, 7.0, 9.0] (box 0 of image 1 of its batch" in message
        assert ("image_id" in message) == (ids is not None)
        if ids:
            assert str(ids[1]) in message

    def test_missing_format_is_an_error(self, check):
        with pytest.raises(ValueError, match="`bounding_box_format` is missing"):
            check(*batch(), bounding_box_format=None)

    @pytest.mark.parametrize(
        ("bounding_boxes", "message"),
        [
            ({"boxes": BOXES}, "dict with 'boxes'"),
            ({"boxes": BOXES, "labels": CLASSES}, "Rename 'labels' to 'classes'"),
            (BOXES, "dict with 'boxes'"),
        ],
    )
    def test_wrong_box_structure_is_refused(self, check, bounding_boxes, message):
        with pytest.raises(ValueError, match=message):
            check(IMAGES, bounding_boxes)
        with pytest.raises(ValueError, match="must have the key 'images'"):
            check({"image": IMAGES}, {"boxes": BOXES, "classes": CLASSES})


def test_large_values_are_finite():
    # Their sum isn't.
    through_arrays(*batch(images=np.full((2, HEIGHT, WIDTH, 3), 3e38, np.float32)))
    through_arrays(*batch(images=np.full((2, HEIGHT, WIDTH, 3), 6e4, np.float16)))


class Counts:
    """Count the boxes without area that are reported, by image."""

    def report(self, boxes, is_empty, image_ids):
        self.numbers = is_empty.sum(1)


@pytest.mark.parametrize("bounding_box_format", sorted(BOX_FORMATS))
def test_what_has_no_area_is_what_the_loss_drops(bounding_box_format):
    rng = np.random.default_rng(0)
    # Halves, so that no format rounds.
    corners = rng.integers(-2, 4, (50, 20, 4)) / 2
    first, second = corners[..., :2], corners[..., 2:]
    is_outside = (np.maximum(first, second) < 0) | (np.minimum(first, second) > 1)
    corners[is_outside.any(-1)] = (0, 0, 1, 1)
    size = (HEIGHT, WIDTH)
    boxes = convert_box_format(corners, "rel_xyxy", bounding_box_format, size, np.stack)
    images, classes, counts = np.zeros((50, *size, 3), "uint8"), np.zeros((50, 20), int), Counts()
    through_arrays(images, {"boxes": boxes, "classes": classes}, 1, bounding_box_format, counts)
    relative = convert_box_format(corners, "rel_xyxy", "rel_center_xywh", stack=np.stack)
    packed = pack_target_objects(relative, classes)
    np.testing.assert_array_equal(20 - counts.numbers, packed.num_objects)
    assert 50 < counts.numbers.sum() < 950


def test_ids_in_lists_and_of_other_lengths():
    boxes = changed(BOXES, (1, 0), [50, 5, 60, 9])
    for ids, named in (([42, 77], True), (["a", "77"], True), ([[1], [2, 3]], False), ([7], False)):
        with pytest.raises(ValueError, match="lies outside") as raised:
            through_arrays(*batch(boxes=boxes, image_id=ids))
        assert ("image 1 (image_id 77)" in str(raised.value)) == named


ROWS = [[[2.0, 3, 10, 20], [0, 0, 40, 30]], [[5, 5, 9, 9]], []]
ROW_CLASSES = [[0, 2], [1], []]
DENSE_CLASSES = [[0, 2], [1, -1], [-1, -1]]
THREE_IMAGES = np.zeros((3, HEIGHT, WIDTH, 3), np.float32)


def check_dense(checked):
    assert checked["boxes"].shape == (3, 2, 4)
    np.testing.assert_array_equal(checked["classes"], DENSE_CLASSES)
    np.testing.assert_array_equal(checked["boxes"][1], [ROWS[1][0], [-1] * 4])
    np.testing.assert_array_equal(checked["boxes"][2], np.full((2, 4), -1))


def ragged(rows=ROWS, classes=ROW_CLASSES, **kwargs):
    return {
        "boxes": tf.ragged.constant(rows, tf.float32, **kwargs),
        "classes": tf.ragged.constant(classes, tf.int32),
    }


@pytest.mark.parametrize("kwargs", [{"inner_shape": (4,)}, {"ragged_rank": 2}])
@BOTH
def test_ragged_tensors_become_dense(check, kwargs):
    check_dense(check(THREE_IMAGES, ragged(**kwargs)))


@BOTH
def test_ragged_batches_without_any_box(check):
    boxes = tf.RaggedTensor.from_row_lengths(np.zeros((0, 4), np.float32), [0, 0, 0])
    classes = tf.RaggedTensor.from_row_lengths(np.zeros((0,), np.int32), [0, 0, 0])
    checked = check(THREE_IMAGES, {"boxes": boxes, "classes": classes})
    assert checked["boxes"].shape == (3, 0, 4)


@BOTH
def test_ragged_lengths_that_disagree_are_refused(check):
    with pytest.raises(REFUSALS, match=r"(?s)`boxes` and `classes`.*agree in length"):
        check(THREE_IMAGES, ragged(classes=[[0, 2], [], [1]], inner_shape=(4,)))


@BOTH
@pytest.mark.parametrize("name", ["area", "is_crowd", "masks"])
def test_rows_out_of_step_with_boxes_are_refused(check, name):
    x, boxes = batch(image_id=np.array([42, 77]))
    check(x, {**boxes, name: np.zeros((2, 2))})
    message = rf"(?s)`{name}` must have one row a box.*3 rows and 2 boxes.*image_id 42"
    with pytest.raises(REFUSALS, match=message) as raised:
        check(x, {**boxes, name: np.zeros((2, 3))})
    assert "`keras_detr.preprocessing`" in str(raised.value)
    with pytest.raises(REFUSALS, match="0 rows and 2 boxes"):
        check(x, {**boxes, name: np.zeros(2)})


@BOTH
def test_rows_of_ragged_boxes_out_of_step_are_refused(check):
    boxes = ragged(inner_shape=(4,))
    check(THREE_IMAGES, {**boxes, "area": tf.ragged.constant([[1.0, 2], [3], []])})
    with pytest.raises(REFUSALS, match=r"(?s)`area`.*2 rows and 1 boxes for image 1 "):
        check(THREE_IMAGES, {**boxes, "area": tf.ragged.constant([[1.0, 2], [3, 4], []])})
    with pytest.raises(REFUSALS, match=r"(?s)`area`.*2 rows and 1 boxes for image 1 "):
        check(THREE_IMAGES, {**boxes, "area": np.zeros((3, 2))})


def test_lists_of_arrays_become_dense():
    boxes = [np.array(row, np.float32).reshape(-1, 4) for row in ROWS]
    classes = [np.array(row, np.int32) for row in ROW_CLASSES]
    check_dense(check_training_batch(THREE_IMAGES, {"boxes": boxes, "classes": classes}, 3, "xyxy"))
    check_dense(
        check_training_batch(THREE_IMAGES, {"boxes": ROWS, "classes": ROW_CLASSES}, 3, "xyxy")
    )
    with pytest.raises(ValueError, match=r"2 boxes and 1 classes for image 0"):
        check_training_batch(THREE_IMAGES, {"boxes": ROWS, "classes": [[0], [1], []]}, 3, "xyxy")


WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None
import numpy as np
from keras_detr.batches import check_training_batch
boxes = {"boxes": [[[1, 2, 3, 4]]], "classes": [[0]]}
print(check_training_batch(np.zeros((1, 8, 8, 3)), boxes, 1, "xyxy"))
"""


def test_array_checks_need_no_tensorflow():
    pytest.importorskip("jax", reason="jax isn't installed: pip install jax")
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "[[[1., 2., 3., 4.]]]" in run.stdout
