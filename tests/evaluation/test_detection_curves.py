"""Precision by recall beside pycocotools, and F1 beside counts by hand."""

import json
import math

import numpy as np
import pytest

from keras_detr.evaluation import COCOMetrics, f1_line
from tests.evaluation.evaluated_sets import (
    evaluated_by_pycocotools,
    official_batches,
    random_batch,
)


def metrics_of(batches, num_classes, bounding_box_format="xyxy", class_names=None):
    metrics = COCOMetrics(bounding_box_format, num_classes=num_classes, class_names=class_names)
    for batch in batches:
        metrics.update_state(*batch)
    return metrics


def random_batches(seed):
    """Return two batches with crowds, ties, boxes turned inside out, and images without objects."""
    rng = np.random.default_rng(seed)
    num_detected = 250 if seed % 10 == 0 else 9
    batches = [random_batch(rng, num_detected=num_detected, flat_share=0.01) for _ in range(2)]
    # pycocotools can't load no detections at all.
    batches[0][1]["num_detections"][0] = num_detected
    return batches


@pytest.mark.parametrize("ten", range(10))
def test_precision_equals_pycocotools_on_100_random_sets(ten):
    for seed in range(10 * ten, 10 * ten + 10):
        batches = random_batches(seed)
        metrics = metrics_of(batches, 3)
        expected = evaluated_by_pycocotools(batches, 3).eval["precision"][..., 0, -1]
        # IoU 0.50 and 0.75.
        for index, iou_threshold in ((0, 0.5), (5, 0.75)):
            curves = metrics.curves(iou_threshold)
            by_class = np.where(expected[index].T < 0, np.nan, expected[index].T)
            np.testing.assert_allclose(
                curves.precision, by_class, rtol=0, atol=1e-12, err_msg=f"seed {seed}"
            )
        ap50 = metrics.result()["AP50"]
        np.testing.assert_allclose(metrics.curves().mean_precision.mean(), ap50, atol=1e-12)


@pytest.mark.realdata
def test_precision_of_the_official_sample(shared_data):
    batches, num_classes = official_batches(shared_data)
    metrics = metrics_of(batches, num_classes, "xywh")
    expected = metrics._evaluated().eval["precision"][0, :, :, 0, -1].T
    expected = np.where(expected < 0, np.nan, expected)
    np.testing.assert_allclose(metrics.curves().precision, expected, rtol=0, atol=1e-12)
    # pycocotools' figure for AP50.
    assert f"{metrics.curves().mean_precision[:].mean():.3f}" == "0.697"


def iou_of(box, other, is_crowd):
    left, top = max(box[0], other[0]), max(box[1], other[1])
    right, bottom = min(box[2], other[2]), min(box[3], other[3])
    shared = max(0.0, right - left) * max(0.0, bottom - top)
    area, other_area = ((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return shared and shared / (area if is_crowd else area + other_area - shared)


def counts_by_hand(batches, label, threshold):
    """Return how many objects of a class are found, and how many detections are wrong."""
    num_right = num_wrong = 0
    for y_true, y_pred in batches:
        for image in range(len(y_true["classes"])):
            is_of_class = y_true["classes"][image] == label
            crowds = y_true["is_crowd"][image][is_of_class]
            objects = y_true["boxes"][image][is_of_class]
            number = y_pred["num_detections"][image]
            confidence = y_pred["confidence"][image][:number]
            chosen = [
                place
                for place in np.argsort(-confidence, kind="stable")
                if y_pred["classes"][image][place] == label and confidence[place] >= threshold
            ]
            free = set(np.flatnonzero(~crowds))
            for place in chosen:
                box = y_pred["boxes"][image][place]
                overlaps = {i: iou_of(box, objects[i], crowds[i]) for i in range(len(objects))}
                best = max(free, key=overlaps.get, default=None)
                if best is not None and overlaps[best] >= 0.5:
                    free.remove(best)
                    num_right += 1
                elif not any(overlaps[i] >= 0.5 for i in np.flatnonzero(crowds)):
                    num_wrong += 1
    return num_right, num_wrong


def test_f1_follows_from_counts():
    rng = np.random.default_rng(0)
    batches = [random_batch(rng) for _ in range(6)]
    for _, y_pred in batches:
        # Boxes turned inside out, which COCO ignores, aren't of interest here.
        starts, ends = y_pred["boxes"][..., :2], y_pred["boxes"][..., 2:]
        ends[:] = np.maximum(ends, starts + 1)
        y_pred["confidence"] = y_pred["confidence"].astype("float32")
    curves = metrics_of(batches, 3).curves()
    num_objects = [
        sum(np.sum((t["classes"] == label) & ~t["is_crowd"]) for t, _ in batches)
        for label in range(3)
    ]
    np.testing.assert_array_equal(curves.num_objects, num_objects)
    assert min(num_objects) > 5
    totals = np.zeros((2, 101))
    for place in range(0, 101, 4):
        threshold = curves.confidence_thresholds[place]
        for label in range(3):
            right, wrong = counts_by_hand(batches, label, np.float32(threshold))
            assert curves.true_positives[label, place] == right
            assert curves.false_positives[label, place] == wrong
            missed = num_objects[label] - right
            assert curves.f1[label, place] == pytest.approx(
                2 * right / (2 * right + wrong + missed)
            )
            totals[:, place] += right, wrong
        right, wrong = totals[:, place]
        expected = 2 * right / (right + wrong + sum(num_objects))
        assert curves.overall_f1[place] == pytest.approx(expected)


BOX = [10.0, 10.0, 50.0, 60.0]
FAR = [100.0, 100.0, 140.0, 150.0]


def image(true, found):
    """Return a batch of one image.

    Args:
        true: list of (box, class).
        found: list of (box, class, confidence).
    """
    return (
        {
            "boxes": np.array([[box for box, _ in true]]).reshape(1, -1, 4),
            "classes": np.array([[label for _, label in true]], int).reshape(1, -1),
        },
        {
            "boxes": np.array([[row[0] for row in found]]).reshape(1, -1, 4),
            "classes": np.array([[row[1] for row in found]], int).reshape(1, -1),
            "confidence": np.array([[row[2] for row in found]], float).reshape(1, -1),
        },
    )


def test_the_best_threshold_parts_right_from_wrong():
    batches = [
        image([(BOX, 0)], [(BOX, 0, 0.8), (FAR, 0, 0.4)]),
        image([(BOX, 1)], [(FAR, 1, 0.9), (BOX, 1, 0.6)]),
    ]
    curves = metrics_of(batches, 3, class_names=("cat", "dog", "cow")).curves()
    best = curves.best_per_class()
    # From 0.41 to 0.80 all is right: the middle.
    assert best["cat"] == {"F1": 1.0, "confidence_threshold": pytest.approx(0.61)}
    assert best["dog"]["F1"] == pytest.approx(2 / 3)
    assert math.isnan(best["cow"]["F1"])
    assert math.isnan(best["cow"]["confidence_threshold"])
    # Together: 2 right and 1 wrong of 2 objects, from 0.41 to 0.60.
    assert curves.best() == {"F1": pytest.approx(0.8), "confidence_threshold": pytest.approx(0.51)}


def test_confidences_count_at_thresholds_as_detect_shows_them():
    truth, found = image([(BOX, 0)], [(BOX, 0, 0.7)])
    found["confidence"] = found["confidence"].astype("float32")
    curves = metrics_of([(truth, found)], 1).curves()
    assert curves.true_positives[0, 70] == 1
    assert curves.true_positives[0, 71] == 0


def test_duplicates_are_wrong():
    curves = metrics_of([image([(BOX, 0)], [(BOX, 0, 0.8), (BOX, 0, 0.7)])], 1).curves()
    assert (curves.true_positives[0, 50], curves.false_positives[0, 50]) == (1, 1)


def test_no_detections():
    curves = metrics_of([image([(BOX, 0)], [])], 1).curves()
    assert curves.best()["F1"] == 0
    assert math.isnan(curves.best()["confidence_threshold"])
    assert f1_line(curves.best()).endswith(" 0.0  IoU 0.50: nothing is found")
    np.testing.assert_array_equal(curves.precision, np.zeros((1, 101)))


def test_no_objects():
    curves = metrics_of([image([], [(BOX, 0, 0.9)])], 2).curves()
    assert np.isnan(curves.precision).all()
    assert np.isnan(curves.mean_precision).all()
    assert math.isnan(curves.best()["F1"])
    assert curves.false_positives[0, 90] == 1


def test_it_is_written_as_json():
    curves = metrics_of([image([(BOX, 0)], [(BOX, 0, 0.8)])], 2, class_names=("a", "b")).curves()
    # JSON has no NaN.
    content = json.loads(json.dumps(curves.to_dict(), allow_nan=False))
    assert content["class_names"] == ["a", "b"]
    assert content["best"] == {"F1": 1.0, "confidence_threshold": pytest.approx(0.4)}
    assert content["best_per_class"]["b"] == {"F1": None, "confidence_threshold": None}
    assert content["precision"][0] == [1.0] * 101
    assert content["precision"][1] == [None] * 101
    assert content["true_positives"][0][80:82] == [1, 0]


@pytest.mark.parametrize("value", [0, -1, 1.5, "half", True, None])
def test_impossible_thresholds_are_refused(value):
    metrics = metrics_of([image([(BOX, 0)], [])], 1)
    with pytest.raises(ValueError, match="`iou_threshold` must be a number above 0"):
        metrics.curves(value)
    with pytest.raises(ValueError, match="`iou_threshold` must be a number above 0"):
        metrics.confusion_matrix(iou_threshold=value)
    if value != 0 or value is True:
        with pytest.raises(ValueError, match=r"`confidence_threshold` must be a number in 0\.\.1"):
            metrics.confusion_matrix(confidence_threshold=value)


def test_no_images():
    metrics = COCOMetrics("xyxy", num_classes=1)
    for compute in (metrics.curves, metrics.confusion_matrix):
        with pytest.raises(ValueError, match="no image"):
            compute()


def test_only_a_hundred_detections_of_a_class_count():
    found = [(FAR, 0, 0.9)] * 99 + [(BOX, 0, 0.5), (FAR, 0, 0.4)]
    one = image([(BOX, 0)], found)
    curves = metrics_of([one], 1).curves()
    assert (curves.true_positives[0, 0], curves.false_positives[0, 0]) == (1, 99)
    more = image([(BOX, 0)], [(FAR, 0, 0.8), *found])
    curves = metrics_of([more], 1).curves()
    assert (curves.true_positives[0, 0], curves.false_positives[0, 0]) == (0, 100)
