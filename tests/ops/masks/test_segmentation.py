"""Masks and panoptic maps of painted logits, and beside the original's steps in torch."""

import keras
import numpy as np
import pytest
from PIL import Image

from keras_detr.inference import instance_masks, panoptic_segments

SIZES = {"canvas_size": (16, 24), "unpadded_size": (16, 24), "image_size": (16, 24)}
# Two things and two kinds of stuff.
IS_THING = [True, True, False, False]
# Original sizes larger and smaller than the unpadded one; a padded canvas that 4 doesn't divide.
# No pixel's center lies on the border of two pixels, where Pillow takes either, as it rounds.
RANDOM_SIZES = [
    {"canvas_size": (50, 61), "unpadded_size": (50, 48), "image_size": (70, 80)},
    {"canvas_size": (48, 64), "unpadded_size": (37, 63), "image_size": (23, 42)},
    {"canvas_size": (64, 64), "unpadded_size": (64, 64), "image_size": (64, 64)},
]


def painted(*boxes, size=(16, 24), inside=6.0, outside=-6.0):
    """Return logits of one mask a box (top, left, bottom, right)."""
    logits = np.full((len(boxes), *size), outside, np.float32)
    for mask, (top, left, bottom, right) in zip(logits, boxes, strict=True):
        mask[top:bottom, left:right] = inside
    return logits


def random_logits(rng, num_objects, canvas_size):
    """Make smooth logits at a quarter of the canvas, so that masks have areas, not dots."""
    height, width = (-(-side // 4) for side in canvas_size)
    waves = rng.normal(size=(num_objects, 4, 5)).astype(np.float32)
    sides = (np.linspace(0, n - 1, m).astype(int) for n, m in ((4, height), (5, width)))
    return waves[np.ix_(range(num_objects), *sides)] + rng.normal(
        0, 0.1, (num_objects, height, width)
    ).astype(np.float32)


def test_logits_of_the_full_size_are_cut_at_one_half():
    logits = painted((2, 3, 9, 11), (0, 0, 16, 24))
    masks = instance_masks(logits, **SIZES)
    assert masks.dtype == bool
    assert np.array_equal(masks, logits > 0)


def test_bilinear_interpolation_has_the_corners_apart():
    # Centers of the logits are at 0.5 and 2.5 pixels of 4; between them the logits go from -1 to 3.
    logits = np.array([[[-1.0, 3.0]]], np.float32)
    sizes = {"canvas_size": (1, 8), "unpadded_size": (1, 8), "image_size": (1, 8)}
    # At pixel centers: -1, -1, -0.5, 0.5, 1.5, 2.5, 3, 3.
    assert instance_masks(logits, **sizes)[0, 0].tolist() == [False] * 3 + [True] * 5
    # 1.5 has the probability 0.8176.
    found = instance_masks(logits, **sizes, mask_threshold=0.8175)[0, 0]
    assert found.tolist() == [False] * 4 + [True] * 4
    assert instance_masks(logits, **sizes, mask_threshold=0.8177)[0, 0, 4] == 0


def test_padding_is_cut_off_and_the_rest_enlarged():
    logits = painted((0, 0, 8, 12))
    sizes = {"canvas_size": (16, 24), "unpadded_size": (8, 16), "image_size": (16, 32)}
    masks = instance_masks(logits, **sizes)
    assert np.array_equal(masks[0], np.repeat([np.arange(32) < 24], 16, axis=0))


def test_a_smaller_image_takes_the_first_row_of_each_step():
    logits = painted((1, 0, 2, 24))
    sizes = {**SIZES, "image_size": (8, 24)}
    # Rows 0, 2, 4, ... are taken.
    assert not instance_masks(logits, **sizes).any()
    assert instance_masks(painted((2, 0, 3, 24)), **sizes)[0, 1].all()


def test_no_objects():
    none = np.zeros((0, 4, 6), np.float32)
    assert instance_masks(none, **SIZES).shape == (0, 16, 24)
    segment_map, segments = panoptic_segments(none, [], [], is_thing=IS_THING, **SIZES)
    assert (segment_map.shape, segment_map.dtype) == ((16, 24), np.int32)
    assert not segment_map.any()
    assert segments == []


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning")
def test_tensors_and_half_precision_are_taken():
    logits = painted((2, 3, 9, 11))
    tensor = keras.ops.convert_to_tensor(logits, "bfloat16")
    assert np.array_equal(instance_masks(tensor, **SIZES), instance_masks(logits, **SIZES))


@pytest.mark.parametrize("sizes", RANDOM_SIZES)
def test_instances_equal_torch(sizes):
    torch = pytest.importorskip("torch")
    logits = random_logits(np.random.default_rng(0), 6, sizes["canvas_size"])
    resize = torch.nn.functional.interpolate
    large = resize(
        torch.from_numpy(logits)[None], sizes["canvas_size"], mode="bilinear", align_corners=False
    )
    height, width = sizes["unpadded_size"]
    is_object = (large.sigmoid() > 0.5).float()[..., :height, :width]
    expected = resize(is_object, sizes["image_size"], mode="nearest")[0].numpy() > 0
    found = instance_masks(logits, **sizes)
    assert 0.1 < expected.mean() < 0.9
    assert np.array_equal(found, expected)


def segmented(logits, classes, confidence=None, sizes=SIZES, **settings):
    confidence = [0.9] * len(classes) if confidence is None else confidence
    return panoptic_segments(logits, classes, confidence, is_thing=IS_THING, **sizes, **settings)


def test_each_pixel_goes_to_the_highest_logit():
    logits = np.concatenate([painted((0, 0, 16, 24), inside=1.0), painted((2, 3, 9, 11))])
    segment_map, segments = segmented(logits, [2, 0], [0.9, 0.95])
    assert np.array_equal(segment_map, np.where(logits[1] > 0, 2, 1))
    assert segments == [
        {
            "id": 1,
            "class": 2,
            "is_thing": False,
            "confidence": pytest.approx(0.9),
            "area": 384 - 56,
        },
        {"id": 2, "class": 0, "is_thing": True, "confidence": pytest.approx(0.95), "area": 56},
    ]


def test_stuff_of_one_class_is_one_segment_and_things_are_not():
    boxes = (0, 0, 16, 8), (0, 8, 16, 16), (0, 16, 16, 24)
    segment_map, segments = segmented(painted(*boxes), [3, 2, 3], [0.9, 0.9, 0.99])
    assert segment_map[0, [0, 8, 16]].tolist() == [1, 2, 1]
    assert [(s["id"], s["class"], s["area"]) for s in segments] == [(1, 3, 256), (2, 2, 128)]
    assert segments[0]["confidence"] == pytest.approx(0.99)
    segment_map, segments = segmented(painted(*boxes), [0, 2, 0])
    assert segment_map[0, [0, 8, 16]].tolist() == [1, 2, 3]
    assert [s["area"] for s in segments] == [128] * 3


def test_the_unsure_and_padding_are_left_out():
    logits = painted((0, 0, 16, 24), (0, 0, 16, 24), (0, 0, 16, 24), (0, 0, 16, 12))
    found = segmented(logits, [0, 1, -1, 1], [0.85, 0.5, 0.99, 0.851])[1]
    assert [(s["class"], s["area"]) for s in found] == [(1, 384)]
    found = segmented(logits, [0, 1, -1, 1], [0.85, 0.5, 0.99, 0.851], confidence_threshold=0.849)
    assert [(s["class"], s["area"]) for s in found[1]] == [(0, 384)]
    segment_map, segments = segmented(logits, [0, 1, -1, 1], [0.1, 0.2, 0.99, 0.85])
    assert segments == []
    assert not segment_map.any()


def test_small_segments_give_their_pixels_to_the_next():
    # 4 and 5 pixels; under the first lies another object of the lowest logit but one.
    logits = painted((0, 0, 2, 2), (0, 4, 1, 9), (0, 0, 16, 24), (0, 0, 8, 24))
    logits[2:] = np.where(logits[2:] > 0, [[[1.0]], [[2.0]]], -6.0)
    segment_map, segments = segmented(logits, [0, 1, 2, 0])
    assert [(s["id"], s["class"], s["area"]) for s in segments] == [
        (1, 1, 5),
        (2, 2, 192),
        (3, 0, 192 - 5),
    ]
    assert segment_map[0, :9].tolist() == [3] * 4 + [1] * 5
    areas = [s["area"] for s in segmented(logits, [0, 1, 2, 0], fewest_pixels=4)[1]]
    assert areas == [4, 5, 192, 192 - 9]
    areas = [s["area"] for s in segmented(logits, [0, 1, 2, 0], fewest_pixels=6)[1]]
    assert areas == [192, 192]


def test_nothing_is_left_of_small_segments_only():
    one = painted((0, 0, 2, 2), size=(2, 2))
    sizes = {"canvas_size": (2, 2), "unpadded_size": (2, 2), "image_size": (2, 2)}
    segment_map, segments = segmented(one, [0], sizes=sizes)
    assert (segment_map.tolist(), segments) == ([[0, 0], [0, 0]], [])


def test_areas_are_pixels_of_the_original_image():
    logits = painted((0, 0, 4, 4), (4, 0, 16, 24), (0, 4, 4, 24))
    sizes = {"canvas_size": (16, 24), "unpadded_size": (8, 8), "image_size": (24, 16)}
    segment_map, segments = segmented(logits, [0, 2, 1], sizes=sizes)
    assert [s["area"] for s in segments] == [12 * 8, 12 * 16, 12 * 8]
    for segment in segments:
        assert np.count_nonzero(segment_map == segment["id"]) == segment["area"]


def original_map(torch, logits, classes, confidence, sizes):
    """Do the original's steps; for classes of stuff that have one object at most."""
    is_kept = torch.tensor(confidence) > 0.85
    logits, classes = torch.from_numpy(logits)[is_kept], torch.tensor(classes)[is_kept]
    large = torch.nn.functional.interpolate(
        logits[:, None], sizes["canvas_size"], mode="bilinear", align_corners=False
    )[:, 0]
    height, width = sizes["unpadded_size"]
    large = large[:, :height, :width]
    while True:
        best = large.softmax(0).argmax(0).numpy().astype(np.int32)
        new_height, new_width = sizes["image_size"]
        best = np.array(Image.fromarray(best).resize((new_width, new_height), Image.NEAREST))
        areas = np.array([np.sum(best == place) for place in range(len(large))])
        if not (areas <= 4).any():
            return best, classes.tolist(), areas.tolist()
        is_large = torch.from_numpy(areas > 4)
        large, classes = large[is_large], classes[is_large]


@pytest.mark.parametrize("sizes", RANDOM_SIZES)
def test_panoptic_maps_equal_torch(sizes):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    was_small = 0
    for _ in range(10):
        logits = random_logits(rng, 9, sizes["canvas_size"]) * 3
        # A dot each, of a few pixels.
        for mask in logits[:2]:
            mask -= 9
            mask[rng.integers(len(mask)), rng.integers(len(mask[0]))] += rng.uniform(10, 20)
        classes = [*rng.integers(0, 2, 7).tolist(), 2, 3]
        confidence = rng.uniform(0.8, 1, 9).astype(np.float32)
        best, kept, areas = original_map(torch, logits, classes, confidence, sizes)
        segment_map, segments = segmented(logits, classes, confidence, sizes)
        assert [s["class"] for s in segments] == kept
        assert [s["area"] for s in segments] == areas
        assert np.array_equal(segment_map, best + 1)
        was_small += len(kept) < np.sum(confidence > np.float32(0.85))
    assert was_small > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask_logits": np.zeros((4, 6))}, "`mask_logits`.*one image.*(4, 6)"),
        ({"mask_logits": np.full((1, 4, 6), np.nan)}, "`mask_logits` must be finite"),
        ({"canvas_size": (16, 0)}, r"`canvas_size` must be .*\(16, 0\)"),
        ({"image_size": (16.0, 24.0)}, "`image_size` must be"),
        ({"image_size": None}, "`image_size` must be"),
        ({"image_size": (16, 24, 3)}, "`image_size` must be"),
        ({"unpadded_size": (17, 24)}, r"`unpadded_size` must fit.*\(17, 24\) and \(16, 24\)"),
    ],
)
def test_errors_of_logits_and_sizes(changes, message):
    arguments = {"mask_logits": np.zeros((1, 4, 6)), **SIZES, **changes}
    with pytest.raises(ValueError, match=message):
        instance_masks(**arguments)
    with pytest.raises(ValueError, match=message):
        panoptic_segments(classes=[0], confidence=[0.9], is_thing=[True], **arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": [0, 1]}, r"`mask_logits` has 1 objects, so .*\(2,\)"),
        ({"confidence": 0.9}, "`classes` and `confidence` must"),
        ({"confidence": [np.nan]}, "`confidence` must be finite"),
        ({"classes": [4]}, "`classes` must be below 4.*Received: 4"),
        ({"is_thing": [1, 0]}, "`is_thing` must be a list with True or False"),
        ({"confidence_threshold": 85}, r"`confidence_threshold` must be .*0\.\.1.*85"),
        ({"fewest_pixels": 0}, "`fewest_pixels` must be an integer"),
    ],
)
def test_errors_of_panoptic_segments(changes, message):
    arguments = {"classes": [0], "confidence": [0.9], "is_thing": IS_THING, **SIZES, **changes}
    with pytest.raises(ValueError, match=message):
        panoptic_segments(np.zeros((1, 4, 6)), **arguments)


def test_a_threshold_of_masks_is_a_probability():
    with pytest.raises(ValueError, match="`mask_threshold` must be a number"):
        instance_masks(np.zeros((1, 4, 6)), mask_threshold=2, **SIZES)
    logits = painted((2, 3, 9, 11))
    assert instance_masks(logits, mask_threshold=0, **SIZES).all()
    assert not instance_masks(logits, mask_threshold=1, **SIZES).any()
