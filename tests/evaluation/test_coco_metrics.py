import logging
import math

import numpy as np
import pytest

from keras_detr.evaluation import COCOMetrics, summary_table
from keras_detr.evaluation.summary import MEANINGS
from keras_detr.ops.boxes import BOX_FORMATS, convert_box_format
from tests.evaluation.evaluated_sets import (
    evaluated_by_pycocotools,
    official_batches,
    random_batch,
)

OFFICIAL = (0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564)


@pytest.mark.realdata
def test_official_figures_to_three_digits(shared_data):
    batches, num_classes = official_batches(shared_data)
    metrics = COCOMetrics("xywh", num_classes=num_classes)
    for batch in batches:
        metrics.update_state(*batch)
    result = metrics.result()
    assert list(result) == list(MEANINGS)
    for name, expected in zip(MEANINGS, OFFICIAL, strict=True):
        assert f"{result[name]:.3f}" == f"{expected:.3f}", name


def by_pycocotools(batches, num_classes):
    """Return the twelve figures and every class's AP, NaN where COCO says -1."""
    evaluation = evaluated_by_pycocotools(batches, num_classes)
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    by_class = [precision[:, :, label].mean() for label in range(num_classes)]
    return tuple(np.where(np.less(row, 0), np.nan, row) for row in (evaluation.stats, by_class))


def in_format(batch, bounding_box_format, image_size):
    boxes = convert_box_format(batch["boxes"], "xyxy", bounding_box_format, image_size, np.stack)
    return {**batch, "boxes": boxes}


def score_random_set(seed):
    """Return the figures of a random set, ours and those of pycocotools."""
    rng = np.random.default_rng(seed)
    num_classes = int(rng.integers(1, 4))
    # Once in a while, more detections of a class in an image than the 100 that count.
    num_detected = 250 if seed % 20 == 0 else 9
    batches = [
        random_batch(rng, num_classes=num_classes, num_detected=num_detected, flat_share=0.01)
        for _ in range(2)
    ]
    # pycocotools can't load no detections at all.
    batches[0][1]["num_detections"][0] = num_detected
    bounding_box_format = sorted(BOX_FORMATS)[seed % len(BOX_FORMATS)]
    metrics = COCOMetrics(bounding_box_format, num_classes=num_classes)
    for batch in batches:
        y_true, y_pred = (in_format(part, bounding_box_format, (400, 300)) for part in batch)
        metrics.update_state(y_true, y_pred, image_sizes=np.array([[400, 300]] * 3))
    ours = list(metrics.result().values()), list(metrics.result_per_class().values())
    return ours, by_pycocotools(batches, num_classes)


@pytest.mark.parametrize("hundred", range(10))
def test_equals_pycocotools_on_1000_random_sets(hundred):
    for seed in range(100 * hundred, 100 * hundred + 100):
        ours, expected = score_random_set(seed)
        for figures, others in zip(ours, expected, strict=True):
            # Both divide in float64, in another order.
            np.testing.assert_allclose(figures, others, rtol=0, atol=1e-12, err_msg=f"seed {seed}")


def truth_as_detections(y_true):
    is_real = y_true["classes"] >= 0
    return {
        "boxes": y_true["boxes"],
        "classes": y_true["classes"],
        "confidence": np.where(is_real, 0.9, 0.0),
    }


def test_truth_as_detections_is_perfect():
    y_true, _ = random_batch(np.random.default_rng(0), num_images=20)
    metrics = COCOMetrics("xyxy", num_classes=3, class_names=["a", "b", "c"])
    metrics.update_state(y_true, truth_as_detections(y_true))
    result = metrics.result()
    for name in ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR100"):
        assert result[name] == pytest.approx(1.0, abs=1e-12), name
    assert metrics.result_per_class() == pytest.approx({"a": 1.0, "b": 1.0, "c": 1.0})


def one_object(label=0, score=0.9, **changes):
    box = np.array([[[10, 10, 50, 60]]], np.float32)
    y_true = {"boxes": box, "classes": np.array([[label]])}
    y_pred = {"boxes": box, "classes": np.array([[label]]), "confidence": np.array([[score]])}
    return {**y_true}, {**y_pred, **changes}


def test_class_zero_and_the_first_object_count():
    metrics = COCOMetrics("xyxy", num_classes=1)
    metrics.update_state(*one_object())
    assert metrics.result()["AP"] == pytest.approx(1.0)


def test_detections_in_an_empty_image_cost_precision():
    metrics = COCOMetrics("xyxy", num_classes=1)
    metrics.update_state(*one_object(score=0.5))
    empty = {"boxes": np.full((1, 1, 4), -1.0), "classes": np.array([[-1]])}
    metrics.update_state(empty, one_object(score=0.9)[1])
    assert metrics.result()["AP"] == pytest.approx(0.5)


def test_detections_in_a_crowd_are_neither_right_nor_wrong():
    y_true = {
        "boxes": np.array([[[0, 0, 100, 100], [200, 200, 250, 250]]], np.float32),
        "classes": np.array([[0, 0]]),
        "is_crowd": np.array([[True, False]]),
    }
    y_pred = {
        "boxes": np.array([[[10, 10, 50, 50], [30, 30, 90, 90], [200, 200, 250, 250]]]),
        "classes": np.array([[0, 0, 0]]),
        "confidence": np.array([[0.9, 0.8, 0.7]]),
    }
    metrics = COCOMetrics("xyxy", num_classes=1)
    metrics.update_state(y_true, y_pred)
    assert metrics.result()["AP"] == pytest.approx(1.0)
    metrics.reset_state()
    metrics.update_state({**y_true, "is_crowd": np.array([[False, False]])}, y_pred)
    assert metrics.result()["AP"] < 0.5


def test_padding_counts_nowhere():
    y_true, y_pred = one_object()
    plain, padded = (COCOMetrics("xyxy", num_classes=2) for _ in range(2))
    plain.update_state(y_true, y_pred)
    rest = np.full((1, 3), -1)
    boxes = np.concatenate([y_true["boxes"], np.full((1, 3, 4), -1)], axis=1)
    classes = np.concatenate([y_true["classes"], rest], axis=1)
    confidence = np.concatenate([y_pred["confidence"], np.full((1, 3), 0.99)], axis=1)
    detected = {"boxes": boxes, "classes": classes, "confidence": confidence}
    padded.update_state({"boxes": boxes, "classes": classes}, detected)
    np.testing.assert_equal(padded.result(), plain.result())
    padded.reset_state()
    detected = {**detected, "classes": np.ones((1, 4), int), "num_detections": np.array([0])}
    padded.update_state({"boxes": boxes, "classes": classes}, detected)
    assert padded.result()["AP"] == 0


def test_figures_without_objects_are_nan_and_shown_as_a_dash():
    metrics = COCOMetrics("xyxy", num_classes=2)
    metrics.update_state(*one_object())
    result = metrics.result()
    assert math.isnan(result["AP_small"])
    assert math.isnan(metrics.result_per_class()["1"])
    table = summary_table(result).splitlines()
    assert len(table) == 12
    assert table[0].split()[:2] == ["AP", "100.0"]
    assert table[3].split()[:2] == ["AP_small", "-"]


def test_nothing_is_printed_or_logged(capsys, caplog):
    metrics = COCOMetrics("xyxy", num_classes=1)
    metrics.update_state(*one_object())
    with caplog.at_level(logging.DEBUG):
        metrics.result()
    assert capsys.readouterr() == ("", "")
    assert not caplog.records


def test_no_detections_at_all_score_zero():
    metrics = COCOMetrics("xyxy", num_classes=1)
    y_true, y_pred = one_object()
    metrics.update_state(y_true, {**y_pred, "num_detections": np.array([0])})
    assert metrics.result()["AP"] == 0


def test_no_images_is_an_error_also_after_a_reset():
    metrics = COCOMetrics("xyxy", num_classes=1)
    with pytest.raises(ValueError, match="no image"):
        metrics.result()
    metrics.update_state(*one_object())
    metrics.result()
    metrics.reset_state()
    with pytest.raises(ValueError, match="no image"):
        metrics.result()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, p: t.update(classes=np.array([[4]])), r"`y_true`: classes .* 3.*Received: 4"),
        (lambda t, p: p.update(classes=np.array([[3]])), r"`y_pred`: classes .* 3.*Received: 3"),
        (lambda t, p: p.update(confidence=np.array([[np.nan]])), "`y_pred` must be finite"),
        (lambda t, p: p.update(boxes=np.full((1, 1, 4), np.nan)), "`y_pred` must be finite"),
        (lambda t, p: t.update(boxes=np.full((1, 1, 4), np.inf)), "`y_true` must be finite"),
        (lambda t, p: t.update(area=np.array([[np.nan]])), "`y_true` must be finite"),
        (lambda t, p: t.update(boxes=np.ones((1, 2, 4))), "2 boxes and 1 classes"),
        (lambda t, p: p.update(classes=np.zeros((2, 1))), "one row an image"),
    ],
)
def test_wrong_values_are_refused_and_nothing_is_counted(change, message):
    metrics = COCOMetrics("xyxy", num_classes=3)
    y_true, y_pred = one_object()
    change(y_true, y_pred)
    with pytest.raises(ValueError, match=message):
        metrics.update_state(y_true, y_pred)
    with pytest.raises(ValueError, match="no image"):
        metrics.result()


def test_missing_arguments_are_errors():
    with pytest.raises(ValueError, match="`bounding_box_format` is missing"):
        COCOMetrics(num_classes=3)
    with pytest.raises(ValueError, match=r"`class_names` must hold .* 3.*2 names"):
        COCOMetrics("xyxy", num_classes=3, class_names=["a", "b"])
    with pytest.raises(ValueError, match="`image_sizes` is needed"):
        COCOMetrics("rel_xyxy", num_classes=3).update_state(*one_object())
