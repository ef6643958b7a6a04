# ruff: noqa: E402
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")


from keras_detr.preprocessing import CANVASES as CANVASES_OF_800
from keras_detr.preprocessing import PadToCanvas, bucketed_batches, resized_size, scaled_canvases

CANVASES = ((20, 30), (30, 20), (30, 30))
SPEC = {
    "images": tf.TensorSpec((None, None, 3), tf.uint8),
    "bounding_boxes": {
        "boxes": tf.TensorSpec((None, 4)),
        "classes": tf.TensorSpec((None,), tf.int32),
        "area": tf.TensorSpec((None,)),
    },
    "image_id": tf.TensorSpec((), tf.int64),
}


def element(image_id, height, width, num_boxes):
    rng = np.random.default_rng(image_id)
    return {
        "images": rng.integers(1, 255, (height, width, 3)).astype(np.uint8),
        "bounding_boxes": {
            "boxes": rng.uniform(0, 1, (num_boxes, 4)).astype(np.float32),
            "classes": rng.integers(0, 9, num_boxes).astype(np.int32),
            "area": rng.uniform(1, 9, num_boxes).astype(np.float32),
        },
        "image_id": np.int64(image_id),
    }


def dataset(elements):
    return tf.data.Dataset.from_generator(lambda: elements, output_signature=SPEC)


def random_elements(number):
    rng = np.random.default_rng(0)
    sizes = rng.integers(10, 31, (number, 2))
    return [element(index, *size, rng.integers(0, 4)) for index, size in enumerate(sizes)]


def test_every_image_comes_once_and_whole_on_its_smallest_canvas():
    elements = random_elements(60)
    batches = bucketed_batches(dataset(elements), CANVASES, 4, max_boxes=5, num_measured=0)
    seen = []
    for batch in batches.as_numpy_iterator():
        canvas = batch["images"].shape[1:3]
        assert len(batch["images"]) <= 4
        pad = PadToCanvas(canvas, max_boxes=5, bounding_box_format="xyxy")
        for index, image_id in enumerate(batch["image_id"]):
            given = elements[image_id]
            fitting = [
                size
                for size in CANVASES
                if given["images"].shape[0] <= size[0] and given["images"].shape[1] <= size[1]
            ]
            assert canvas == min(fitting, key=np.prod)
            expected = tf.nest.flatten(pad(given))
            found = tf.nest.flatten(tf.nest.map_structure(lambda rows, i=index: rows[i], batch))
            for left, right in zip(found, expected, strict=True):
                np.testing.assert_array_equal(left, right)
            seen.append(image_id)
    assert sorted(seen) == list(range(60))


def test_each_batch_has_the_fewest_rows_that_hold_its_boxes():
    numbers = [1, 0, 3, 2, 5, 1, 4, 0]
    elements = [element(index, 20, 30, number) for index, number in enumerate(numbers)]
    batches = bucketed_batches(
        dataset(elements), ((20, 30),), 2, max_boxes=(5, 1, 3), num_measured=0
    )
    assert batches.element_spec["bounding_boxes"]["boxes"].shape.as_list() == [None, None, 4]
    whole = bucketed_batches(dataset(elements), ((20, 30),), 2, max_boxes=5, num_measured=0)
    for batch, uncut, rows in zip(
        batches.as_numpy_iterator(), whole.as_numpy_iterator(), (1, 3, 5, 5), strict=True
    ):
        for name, entry in uncut["bounding_boxes"].items():
            assert (uncut["bounding_boxes"]["classes"][:, rows:] == -1).all()
            np.testing.assert_array_equal(batch["bounding_boxes"][name], entry[:, :rows])
        np.testing.assert_array_equal(batch["images"], uncut["images"])


def test_the_format_of_boxes_comes_once_for_each_image():
    given = dataset(random_elements(8)).map(lambda e: {**e, "bounding_box_format": "xyxy"})
    batches = bucketed_batches(given, CANVASES, 4, max_boxes=5, num_measured=0)
    carried = [batch["bounding_box_format"] for batch in batches.as_numpy_iterator()]
    assert np.concatenate(carried).tolist() == [b"xyxy"] * 8


def test_no_more_shapes_than_canvases_with_full_batches():
    batches = bucketed_batches(
        dataset(random_elements(60)).repeat(3),
        CANVASES,
        4,
        max_boxes=5,
        num_measured=0,
        drop_remainder=True,
    )
    shapes = {batch["images"].shape for batch in batches.as_numpy_iterator()}
    assert shapes == {(4, *canvas, 3) for canvas in CANVASES}


@pytest.mark.parametrize(
    ("canvases", "drop_remainder", "shape"),
    [
        (CANVASES, False, (None, None, None, 3)),
        (CANVASES, True, (4, None, None, 3)),
        (((20, 30), (20, 40)), False, (None, 20, None, 3)),
        (((20, 30), (40, 30)), False, (None, None, 30, 3)),
        (((20, 30),), False, (None, 20, 30, 3)),
        (((20, 30),), True, (4, 20, 30, 3)),
    ],
)
def test_the_spec_states_what_all_batches_share(canvases, drop_remainder, shape):
    elements = [element(index, 20, 30, 1) for index in range(5)]
    batches = bucketed_batches(
        dataset(elements), canvases, 4, max_boxes=5, drop_remainder=drop_remainder, num_measured=0
    )
    spec = batches.element_spec
    assert tuple(spec["images"].shape) == shape
    assert tuple(spec["pixel_mask"].shape) == shape[:3]
    assert tuple(spec["bounding_boxes"]["boxes"].shape) == (shape[0], 5, 4)
    assert tuple(spec["bounding_boxes"]["classes"].shape) == (shape[0], 5)
    numbers = [len(batch["images"]) for batch in batches.as_numpy_iterator()]
    assert numbers == ([4] if drop_remainder else [4, 1])


@pytest.mark.parametrize("num_measured", [3, 100])
def test_the_share_of_padding_is_printed_once_without_a_pass_of_its_own(capsys, num_measured):
    elements = [element(0, 20, 30, 1), element(1, 15, 30, 0), element(2, 30, 20, 0)]
    batches = bucketed_batches(dataset(elements), CANVASES, 2, num_measured=num_measured)
    assert capsys.readouterr().out == ""
    for _ in range(2):
        list(batches)
    expected = 1 - (600 + 450 + 600) / 1800
    one = 1 - (600 + 450 + 600) / 2700
    assert capsys.readouterr().out == (
        f"bucketed_batches: 2 of 3 canvases in use, {expected:.1%} of their pixels are padding "
        f"(3 images measured; on one canvas of 30x30 {one:.1%} would be).\n"
    )
    list(bucketed_batches(dataset([]), CANVASES, 2))
    assert "no images to measure" in capsys.readouterr().out
    list(bucketed_batches(dataset(elements), CANVASES, 2, num_measured=0))
    assert capsys.readouterr().out == ""


def test_images_alone_and_masks():
    images = dataset([element(0, 12, 25, 0)]).map(lambda given: {"images": given["images"]})
    batch = next(iter(bucketed_batches(images, CANVASES, 2)))
    assert batch["images"].shape == (1, 20, 30, 3)
    assert int(tf.reduce_sum(tf.cast(batch["pixel_mask"], tf.int32))) == 12 * 25

    def add_masks(given):
        masks = tf.ones((tf.shape(given["bounding_boxes"]["classes"])[0], 12, 25), tf.bool)
        return {**given, "bounding_boxes": {**given["bounding_boxes"], "masks": masks}}

    elements = dataset([element(0, 12, 25, 2)]).map(add_masks)
    batch = next(iter(bucketed_batches(elements, CANVASES, 2, max_boxes=3)))
    masks = batch["bounding_boxes"]["masks"].numpy()
    assert masks.shape == (1, 3, 20, 30)
    assert masks.sum() == 2 * 12 * 25
    assert masks[0, :2, :12, :25].all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (element(0, 31, 20, 1), r"31.20.*fits on none of `canvases`"),
        (element(0, 20, 20, 6), r"6.*boxes, more than `max_boxes` 5"),
    ],
)
def test_what_does_not_fit_is_an_error(given, message):
    batches = bucketed_batches(dataset([given]), CANVASES, 4, max_boxes=5)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        next(iter(batches))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"canvases": ()}, "`canvases` must be"),
        ({"canvases": ((1, 2, 3),)}, "`canvases` must be"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"max_boxes": 0}, "`max_boxes`"),
        ({"max_boxes": (0, 5)}, "`max_boxes`"),
        ({"max_boxes": ()}, "`max_boxes`"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        bucketed_batches(dataset([]), **arguments)


@pytest.mark.parametrize(("short_side", "longest_side"), [(800, 1333), (256, 426), (64, 500)])
def test_scaled_canvases_hold_every_image(short_side, longest_side):
    rng = np.random.default_rng(0)
    canvases = scaled_canvases(short_side, longest_side=longest_side)
    for height, width in rng.integers(60, 1300, (2000, 2)):
        size = resized_size(height, width, short_side, longest_side)
        assert any(size[0] <= canvas[0] and size[1] <= canvas[1] for canvas in canvases)


def test_canvases_of_the_usual_size_are_the_default():
    assert set(scaled_canvases(800, longest_side=1333)) == set(CANVASES_OF_800)
    assert all(
        type(side) is int for canvas in scaled_canvases(400, longest_side=666) for side in canvas
    )
