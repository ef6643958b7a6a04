"""Panoptic quality counted by hand, and beside what panopticapi gave for random maps."""

import math

import numpy as np
import pytest

from keras_detr.evaluation import PanopticQuality
from keras_detr.inference import panoptic_segments

CAT, DOG, SKY = range(3)
IS_THING = [True, True, False]
NAMES = ["cat", "dog", "sky"]
# What panopticapi (commit 7bb4655) gave for 60 images of `random_image`, seed 0: PQ, SQ and RQ of
# all six classes, of things and of stuff; and of each class.
PANOPTICAPI = (
    *(0.51834814336903, 0.8091762373302617, 0.6401330352896961),
    *(0.5249752667469807, 0.8168250420545659, 0.6420034498547202),
    *(0.5050938966131289, 0.7938786278816535, 0.6363922061596481),
)
PANOPTICAPI_PER_CLASS = (
    (0.6331916874262283, 0.8325298112455966, 0.7605633802816901),
    (0.5139890544206115, 0.8156782820153182, 0.6301369863013698),
    (0.4369112938863863, 0.8131404636218855, 0.5373134328358209),
    (0.5114655546985778, 0.7854649590013872, 0.6511627906976745),
    (0.4987222385276799, 0.8022922967619198, 0.6216216216216216),
    (0.5158090312546963, 0.805951611335463, 0.64),
)
RANDOM_IS_THING = [True, True, True, False, False, True]


def quality_of(*images, is_thing=IS_THING):
    """Return a `PanopticQuality` of images, each a line of true and one of found pixels.

    A segment is written as the number of its pixels, its class, and perhaps True for a crowd; class
    None is void.
    """
    quality = PanopticQuality(len(is_thing), is_thing=is_thing, class_names=NAMES[: len(is_thing)])
    for truth, found in images:
        quality.update_state(*line(*truth), *line(*found, first_id=300))
    return quality


def line(*segments, first_id=1):
    """Return a map of one row, and its segments."""
    pixels, described = [], []
    for number, (length, label, *crowd) in enumerate(segments, start=first_id):
        pixels += [0 if label is None else number] * length
        if label is not None:
            described.append({"id": number, "class": label, "is_crowd": bool(crowd)})
    return np.array([pixels]), described


def counts(quality, name):
    found = quality.result_per_class()[name]
    return found["num_matched"], found["num_wrong"], found["num_missed"]


def test_a_match_counts_its_iou():
    quality = quality_of(([(4, CAT), (6, SKY)], [(5, CAT), (5, SKY)]))
    cat, sky = 4 / 5, 5 / 6
    expected = {
        "PQ": (cat + sky) / 2,
        "SQ": (cat + sky) / 2,
        "RQ": 1,
        "PQ_things": cat,
        "SQ_things": cat,
        "RQ_things": 1,
        "PQ_stuff": sky,
        "SQ_stuff": sky,
        "RQ_stuff": 1,
    }
    assert quality.result() == pytest.approx(expected)


def test_half_is_no_match():
    quality = quality_of(([(5, CAT), (5, None)], [(10, CAT)]))
    # Without the void the found cat has the true one's pixels.
    assert quality.result()["PQ"] == 1
    quality = quality_of(([(5, CAT), (5, SKY)], [(10, CAT)]))
    assert (counts(quality, "cat"), counts(quality, "sky")) == ((0, 1, 1), (0, 0, 1))
    assert quality.result()["PQ"] == quality.result()["SQ"] == quality.result()["RQ"] == 0


def test_another_class_is_wrong_and_missed():
    quality = quality_of(([(5, CAT), (5, SKY)], [(5, DOG), (5, SKY)]))
    assert [counts(quality, name) for name in NAMES] == [(0, 0, 1), (0, 1, 0), (1, 0, 0)]
    assert quality.result()["PQ"] == pytest.approx(1 / 3)


def test_the_factors_of_a_class():
    images = [
        ([(10, CAT), (10, CAT), (10, CAT)], [(8, CAT), (2, None), (10, CAT), (3, CAT), (7, None)]),
        ([(10, SKY)], [(4, CAT), (6, SKY)]),
    ]
    quality = quality_of(*images)
    assert counts(quality, "cat") == (2, 2, 1)
    cat = quality.result_per_class()["cat"]
    assert cat["SQ"] == pytest.approx((0.8 + 1) / 2)
    assert cat["RQ"] == pytest.approx(2 / 3.5)
    assert cat["PQ"] == pytest.approx(1.8 / 3.5)
    assert quality.result_per_class()["sky"]["PQ"] == pytest.approx(0.6)
    assert quality.result()["PQ_things"] == pytest.approx(1.8 / 3.5)


def test_void_is_not_counted():
    # 5 of 9, and 5 of 10: more than half, and half.
    quality = quality_of(([(5, None), (4, SKY)], [(9, CAT)]))
    assert counts(quality, "cat") == (0, 0, 0)
    quality = quality_of(([(5, None), (5, SKY)], [(10, CAT)]))
    assert counts(quality, "cat") == (0, 1, 0)


def test_crowds_need_not_be_found():
    truth = [(3, CAT, True), (3, None), (4, SKY)]
    quality = quality_of((truth, [(3, CAT), (3, CAT), (4, SKY)]))
    assert counts(quality, "cat") == (0, 0, 0)
    assert math.isnan(quality.result_per_class()["cat"]["PQ"])
    # Crowd and void together are 6 of 10 pixels; a crowd of another class is 3 of 10.
    assert counts(quality_of((truth, [(10, CAT)])), "cat") == (0, 0, 0)
    assert counts(quality_of((truth, [(10, DOG)])), "dog") == (0, 1, 0)
    two = [(3, CAT, True), (3, CAT, True), (4, SKY)]
    assert counts(quality_of((two, [(10, CAT)])), "cat") == (0, 0, 0)


def test_a_match_is_one_even_if_void_is_most_of_it():
    quality = quality_of(([(6, None), (4, CAT)], [(10, CAT)]))
    assert counts(quality, "cat") == (1, 0, 0)


def test_classes_that_do_not_occur_are_no_part_of_the_mean():
    quality = quality_of(([(5, CAT), (5, SKY)], [(5, CAT), (5, SKY)]))
    assert quality.result()["PQ"] == 1
    assert math.isnan(quality.result_per_class()["dog"]["RQ"])
    quality = quality_of(([(5, CAT)], [(5, CAT)]))
    assert math.isnan(quality.result()["PQ_stuff"])


def test_images_add_up_and_are_forgotten():
    right, wrong = ([(9, CAT)], [(9, CAT)]), ([(9, CAT)], [(9, DOG)])
    quality = quality_of(right, wrong)
    assert counts(quality, "cat") == (1, 0, 1)
    quality.reset_state()
    with pytest.raises(ValueError, match="nothing to score"):
        quality.result()
    quality.update_state(*line(*right[0]), *line(*right[1]))
    assert quality.result()["PQ"] == 1


def test_an_image_without_segments():
    quality = quality_of(([(9, None)], [(9, None)]), ([(9, CAT)], [(9, None)]))
    assert counts(quality, "cat") == (0, 0, 1)
    quality = quality_of(([(9, None)], [(9, CAT)]))
    assert math.isnan(quality.result()["PQ"])


def test_classes_are_numbered_without_names():
    quality = PanopticQuality(2, is_thing=[True, False])
    quality.update_state(*line((3, 0)), *line((3, 0)))
    assert list(quality.result_per_class()) == ["0", "1"]


def test_what_panoptic_segments_returns_is_taken():
    logits = np.zeros((2, 4, 4), np.float32)
    logits[0, :, :2] = 5.0
    size = {"canvas_size": (16, 16), "unpadded_size": (16, 16), "image_size": (16, 16)}
    found = panoptic_segments(logits, [CAT, SKY], [0.9, 0.9], is_thing=IS_THING, **size)
    quality = PanopticQuality(3, is_thing=IS_THING)
    quality.update_state(*found, *found)
    assert quality.result()["PQ"] == 1


def random_image(rng):
    """Return maps of COCO's kind: ids are colors; with void, crowds, and found segments near."""
    size, num_segments = (48, 64), int(rng.integers(1, 9))
    true_map, found_map = np.zeros((2, *size), np.int64)
    true_ids, found_ids = rng.integers(1, 2**24, (2, num_segments))
    classes = rng.integers(0, len(RANDOM_IS_THING), num_segments)
    is_right = rng.uniform(size=num_segments) < 0.8
    found_classes = np.where(is_right, classes, rng.permutation(classes))
    is_crowd = rng.uniform(size=num_segments) < 0.25
    for place in range(num_segments):
        top, left = (int(rng.integers(0, side - 8)) for side in size)
        height, width = (int(n) for n in rng.integers(6, 32, 2))
        true_map[top : top + height, left : left + width] = true_ids[place]
        shift, grown = (int(n) for n in rng.integers(0, 5, 2))
        if rng.uniform() < 0.9:
            box = slice(top + shift, top + height), slice(left, left + width + grown)
            found_map[box] = found_ids[place]
    true_segments, found_segments = [], []
    for place in range(num_segments):
        if np.any(true_map == true_ids[place]):
            entry = {"id": int(true_ids[place]), "class": int(classes[place])}
            true_segments.append({**entry, "is_crowd": bool(is_crowd[place])})
        if np.any(found_map == found_ids[place]):
            entry = {"id": int(found_ids[place]), "class": int(found_classes[place])}
            found_segments.append(entry)
    # panopticapi looks at one crowd of a class in an image, as COCO has them.
    crowds = {}
    for segment in true_segments:
        segment["is_crowd"] &= crowds.setdefault(segment["class"], segment) is segment
    return true_map, true_segments, found_map, found_segments


def test_equals_panopticapi():
    quality = PanopticQuality(6, is_thing=RANDOM_IS_THING)
    rng = np.random.default_rng(0)
    for _ in range(60):
        quality.update_state(*random_image(rng))
    np.testing.assert_allclose(list(quality.result().values()), PANOPTICAPI, rtol=0, atol=1e-12)
    rows = quality.result_per_class().values()
    by_class = [[row[name] for name in ("PQ", "SQ", "RQ")] for row in rows]
    np.testing.assert_allclose(by_class, PANOPTICAPI_PER_CLASS, rtol=0, atol=1e-12)


@pytest.mark.parametrize("side", ["true", "found"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"map": np.zeros((1, 5))}, "`{}_map` must be integers.*float64"),
        ({"map": np.ones((1, 5, 3), int)}, r"`{}_map` must be integers.*\(1, 5, 3\)"),
        ({"map": np.array([[1, 1, 2, 2, 9]])}, "`{}_map` must have the ids of .*also: 9"),
        (
            {"map": np.array([[1, 1, 1, 1, 0]])},
            "`{}_segments` must have .*without a pixel: 2",
        ),
        ({"segments": [{"id": 1, "class": 0}] * 2}, "`{}_segments` .*twice: 1"),
        ({"segments": [{"id": 0, "class": 0}]}, "`{}_segments` must have ids above 0"),
        ({"segments": [{"id": 1, "class": 3}]}, r"`{}_segments`: classes .*0\.\.2.*Received: 3"),
        ({"segments": [{"id": 1, "class": -1}]}, "`{}_segments`: classes .*Received: -1"),
        ({"segments": [{"id": 1, "category_id": 1}]}, "`{}_segments` .*'class'.*category_id"),
    ],
)
def test_errors_of_maps_and_segments(side, changes, message):
    quality = PanopticQuality(3, is_thing=IS_THING)
    arguments = dict(zip(("true_map", "true_segments"), line((2, CAT), (3, DOG)), strict=True))
    arguments |= {name.replace("true", "found"): value for name, value in arguments.items()}
    arguments |= {f"{side}_{name}": value for name, value in changes.items()}
    with pytest.raises(ValueError, match=message.format(side)):
        quality.update_state(**arguments)
    with pytest.raises(ValueError, match="nothing to score"):
        quality.result()


def test_maps_of_different_sizes():
    quality = PanopticQuality(3, is_thing=IS_THING)
    with pytest.raises(ValueError, match=r"same \(height, width\).*\(1, 5\) and \(1, 6\)"):
        quality.update_state(*line((5, CAT)), *line((6, CAT)))


@pytest.mark.parametrize("is_thing", [[True], [1, 0, 1], None])
def test_kinds_of_another_number_or_type(is_thing):
    with pytest.raises(ValueError, match="`is_thing` must be a list with True or False for each"):
        PanopticQuality(3, is_thing=is_thing)
