"""Confusions counted by hand, and beside supervision."""

import json

import numpy as np
import pytest

from keras_detr.evaluation import COCOMetrics
from tests.evaluation.evaluated_sets import random_batch
from tests.evaluation.test_detection_curves import BOX, FAR, image, metrics_of

# IoU 0.6 and 0.5 with BOX, which is 40 wide.
NEAR, NEARER_THAN_NOTHING = [20.0, 10.0, 60.0, 60.0], [10.0, 10.0, 50.0, 35.0]


def counts(*images, num_classes=2, **settings):
    return metrics_of(images, num_classes).confusion_matrix(**settings).counts.tolist()


def test_right_wrong_missed_and_of_nothing():
    true = [(BOX, 0), (FAR, 1)]
    assert counts(image(true, [(BOX, 0, 0.9), (FAR, 1, 0.9)])) == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert counts(image(true, [(BOX, 1, 0.9)])) == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert counts(image([], [(BOX, 1, 0.9)])) == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert counts(image(true, [])) == [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert counts(image([], [])) == [[0] * 3] * 3


def test_duplicates_are_of_the_background():
    found = [(BOX, 0, 0.9), (BOX, 0, 0.8), (NEAR, 0, 0.7)]
    assert counts(image([(BOX, 0)], found)) == [[1, 0, 0], [0, 0, 0], [2, 0, 0]]


def test_the_right_class_comes_before_a_higher_overlap():
    found = [(BOX, 1, 0.9), (NEAR, 0, 0.8)]
    assert counts(image([(BOX, 0)], found)) == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_among_others_the_highest_overlap_counts():
    found = [(NEAR, 1, 0.9), (BOX, 2, 0.8)]
    expected = [[0, 0, 1, 0], [0] * 4, [0] * 4, [0, 1, 0, 0]]
    assert counts(image([(BOX, 0)], found), num_classes=3) == expected


def test_thresholds():
    one = image([(BOX, 0)], [(NEARER_THAN_NOTHING, 0, 0.4)])
    assert counts(one) == [[0, 0, 1], [0] * 3, [0] * 3]
    assert counts(one, confidence_threshold=0.4) == [[1, 0, 0], [0] * 3, [0] * 3]
    wider = {"confidence_threshold": 0.4, "iou_threshold": 0.51}
    assert counts(one, **wider) == [[0, 0, 1], [0] * 3, [1, 0, 0]]


def test_crowds_are_no_objects_and_hide_what_is_in_them():
    true, found = image([(BOX, 0), (FAR, 1)], [(NEARER_THAN_NOTHING, 0, 0.9), (BOX, 1, 0.9)])
    true["is_crowd"] = np.array([[True, False]])
    # The second is in the crowd too, but of another class.
    assert counts((true, found)) == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_images_are_apart():
    images = image([(BOX, 0)], []), image([], [(BOX, 0, 0.9)])
    assert counts(*images) == [[0, 0, 1], [0] * 3, [1, 0, 0]]


def test_every_object_is_counted_once():
    rng = np.random.default_rng(0)
    batches = [random_batch(rng) for _ in range(20)]
    found = metrics_of(batches, 3).confusion_matrix(confidence_threshold=0.2).counts
    for label in range(3):
        expected = sum(np.sum((t["classes"] == label) & ~t["is_crowd"]) for t, _ in batches)
        assert found[label].sum() == expected


def test_it_is_written_as_json():
    metrics = metrics_of([image([(BOX, 0)], [(BOX, 0, 0.9)])], 1, class_names=("cat",))
    matrix = metrics.confusion_matrix(confidence_threshold=0.25)
    assert json.loads(json.dumps(matrix.to_dict())) == {
        "class_names": ["cat"],
        "confidence_threshold": 0.25,
        "iou_threshold": 0.5,
        "counts": [[1, 0], [0, 0]],
    }


@pytest.mark.parametrize("threshold", [0.0, 0.55])
def test_equals_supervision(threshold):
    supervision = pytest.importorskip("supervision", reason="supervision isn't installed")
    rng = np.random.default_rng(1)
    metrics, predictions, targets = COCOMetrics("xyxy", num_classes=3), [], []
    for _ in range(40):
        y_true, y_pred = random_batch(rng)
        # It knows no crowds.
        y_true["is_crowd"][:] = False
        metrics.update_state(y_true, y_pred)
        for index, number in enumerate(y_pred["num_detections"]):
            is_real = y_true["classes"][index] >= 0
            rows = np.column_stack([y_true["boxes"][index], y_true["classes"][index]])
            targets.append(rows[is_real])
            columns = (y_pred[name][index] for name in ("boxes", "classes", "confidence"))
            predictions.append(np.column_stack(list(columns))[:number])
    expected = supervision.ConfusionMatrix.from_tensors(
        predictions, targets, ["a", "b", "c"], conf_threshold=threshold, iou_threshold=0.5
    )
    found = metrics.confusion_matrix(confidence_threshold=threshold)
    np.testing.assert_array_equal(found.counts, expected.matrix)
    assert found.counts[:3, :3].trace() > 50
