"""COCO's metrics of masks beside those of pycocotools."""

import json
import math

import numpy as np
import pytest
from pycocotools import mask as pycocotools_masks

from keras_detr.evaluation import COCOMaskMetrics
from keras_detr.evaluation.summary import MEANINGS
from keras_detr.inference import decode_masks, encode_masks
from tests.evaluation.evaluated_sets import ellipses, masks_by_pycocotools


def assert_equals_pycocotools(batches, num_classes):
    metrics = COCOMaskMetrics(num_classes=num_classes)
    for batch in batches:
        metrics.update_state(*batch)
    ours = list(metrics.result().values()), list(metrics.result_per_class().values())
    expected = masks_by_pycocotools(batches, num_classes)
    for figures, others in zip(ours, expected, strict=True):
        # Both divide in float64, in another order.
        np.testing.assert_allclose(figures, others, rtol=0, atol=1e-12)
    return metrics.result()


def random_batch(rng, num_classes=3, num_true=6, num_detected=9, size=(130, 150)):
    """Make a batch of two images: crowds, padding, ties, detections near the truth."""
    true_masks = ellipses(rng, 2 * num_true, size).reshape(2, num_true, *size)
    masks = ellipses(rng, 2 * num_detected, size).reshape(2, num_detected, *size)
    masks[:, :num_true] = np.roll(true_masks, rng.integers(-8, 8, 2), (2, 3))
    classes = rng.integers(-1, num_classes, (2, num_true))
    y_true = {
        "masks": [encode_masks(of_image) for of_image in true_masks],
        "classes": classes,
        "is_crowd": rng.uniform(size=classes.shape) < 0.2,
        "area": true_masks.sum((2, 3)) * rng.uniform(0.8, 1, classes.shape),
    }
    y_pred = {
        "masks": [encode_masks(of_image) for of_image in masks],
        "classes": rng.integers(0, num_classes, (2, num_detected)),
        "confidence": np.round(rng.uniform(size=(2, num_detected)), 1),
        # pycocotools can't load no detections at all.
        "num_detections": rng.integers(1, num_detected + 1, 2),
    }
    is_known = (classes >= 0) & (rng.uniform(size=classes.shape) < 0.8)
    y_pred["classes"][:, :num_true][is_known] = classes[is_known]
    return y_true, y_pred


def test_equals_pycocotools_on_random_sets():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        batches = [random_batch(rng) for _ in range(2)]
        assert_equals_pycocotools(batches, num_classes=3)


@pytest.mark.realdata
def test_equals_pycocotools_on_real_masks(shared_data):
    file = shared_data / "coco_mini" / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    labels = {entry["id"]: label for label, entry in enumerate(content["categories"])}
    rng = np.random.default_rng(0)
    batches = []
    for image in content["images"]:
        entries = [e for e in content["annotations"] if e["image_id"] == image["id"]]
        size = image["height"], image["width"]
        true_masks = np.stack([real_mask(entry["segmentation"], *size) for entry in entries])
        classes = np.array([labels[entry["category_id"]] for entry in entries])
        y_true = {
            "masks": [encode_masks(true_masks)],
            "classes": classes[None],
            "is_crowd": np.array([[entry["iscrowd"] for entry in entries]]),
            "area": np.array([[entry["area"] for entry in entries]]),
        }
        # Moved by a few pixels, which costs small objects more; each tenth of another class.
        moved = np.roll(true_masks, rng.integers(-6, 6, 2), (1, 2))
        is_other = rng.uniform(size=len(classes)) < 0.1
        y_pred = {
            "masks": [encode_masks(moved)],
            "classes": np.where(is_other, rng.permutation(classes), classes)[None],
            "confidence": rng.uniform(size=(1, len(classes))),
            "num_detections": np.array([len(classes)]),
        }
        batches.append((y_true, y_pred))
    result = assert_equals_pycocotools(batches, len(labels))
    assert 0.1 < result["AP_small"] < result["AP_large"] < 0.95


def real_mask(segmentation, height, width):
    """Return bool (height, width) of COCO's polygons or run lengths."""
    codes = pycocotools_masks.frPyObjects(segmentation, height, width)
    code = pycocotools_masks.merge(codes) if isinstance(codes, list) else codes
    return decode_masks([code], image_size=(height, width))[0]


def square(top=10, left=10, size=(40, 50)):
    mask = np.zeros((1, *size), bool)
    mask[0, top : top + 20, left : left + 20] = True
    return encode_masks(mask)[0]


SQUARES = (square(),)


def one_image(masks=SQUARES, classes=(0,), confidence=(0.9,), found=SQUARES, **truth):
    y_true = {"masks": [list(masks)], "classes": np.array([classes])}
    y_true |= {key: np.array([value]) for key, value in truth.items()}
    y_pred = {"masks": [list(found)], "classes": np.zeros((1, len(found)), int)}
    return y_true, {**y_pred, "confidence": np.array([confidence])}


def result_of(*images):
    metrics = COCOMaskMetrics(num_classes=2, class_names=["cat", "dog"])
    for image in images:
        metrics.update_state(*image)
    return metrics.result()


def test_masks_count_and_not_their_boxes():
    rows, columns = np.indices((20, 20))
    halves = encode_masks([rows > columns, rows < columns])
    assert result_of(one_image())["AP"] == pytest.approx(1)
    # Both have nearly the same box.
    assert result_of(one_image(halves[:1], found=halves[1:]))["AP"] == 0


def test_the_area_of_a_mask_is_used_without_another():
    assert not math.isnan(result_of(one_image())["AP_small"])
    result = result_of(one_image(area=[2000.0]))
    assert math.isnan(result["AP_small"])
    assert not math.isnan(result["AP_medium"])


def test_pixels_are_counted_in_proportion_to_the_original():
    metrics = COCOMaskMetrics(num_classes=1)
    # 20 x 20 pixels of (40, 50) are 40 x 40 of (80, 100).
    metrics.update_state(*one_image(), image_sizes=np.array([[80, 100]]))
    assert math.isnan(metrics.result()["AP_small"])
    assert metrics.result()["AP_medium"] == pytest.approx(1)
    with pytest.raises(ValueError, match=r"one row an image.*'image_sizes': 2"):
        metrics.update_state(*one_image(), image_sizes=np.array([[80, 100]] * 2))


def test_padding_is_left_out():
    y_true, y_pred = one_image([square(), None], classes=(0, -1))
    y_pred["masks"][0].append(square(0, 0))
    y_pred["classes"], y_pred["confidence"] = np.array([[0, 0]]), np.array([[0.5, 0.9]])
    assert result_of((y_true, y_pred))["AP"] == pytest.approx(0.5)
    y_pred["classes"] = np.array([[0, -1]])
    assert result_of((y_true, y_pred))["AP"] == pytest.approx(1)
    y_pred["classes"] = np.array([[0, 0]])
    assert result_of((y_true, {**y_pred, "num_detections": [1]}))["AP"] == pytest.approx(1)


def test_images_may_have_any_number_of_objects():
    y_true = {"masks": [[square()] * 2, []], "classes": [np.array([0, 1]), np.zeros(0, int)]}
    y_pred = {**y_true, "confidence": [np.array([0.9, 0.9]), np.zeros(0)]}
    metrics = COCOMaskMetrics(num_classes=2, class_names=["cat", "dog"])
    metrics.update_state(y_true, y_pred)
    assert list(metrics.result()) == list(MEANINGS)
    assert metrics.result_per_class() == pytest.approx({"cat": 1.0, "dog": 1.0})


def test_images_are_forgotten():
    metrics = COCOMaskMetrics(num_classes=1)
    metrics.update_state(*one_image(found=[square(0, 0)]))
    assert metrics.result()["AP"] < 0.5
    metrics.reset_state()
    with pytest.raises(ValueError, match="nothing to score"):
        metrics.result()
    metrics.update_state(*one_image())
    assert metrics.result()["AP"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": [square()] * 2}, "`y_true`: an image has 2 masks and 1 classes"),
        ({"classes": [2]}, "`y_true`: classes must be below `num_classes`, 2"),
        ({"area": [np.nan]}, "`y_true` must be finite.*'area'"),
        ({"confidence": [np.inf]}, "`y_pred` must be finite.*'confidence'"),
        ({"masks": [None]}, "`y_true` must have encoded masks.*None"),
        (
            {"found": [{"size": [40, 50], "counts": [2000]}]},
            "`y_pred` must have encoded masks.*2000",
        ),
        ({"found": [{"size": [40, 50], "counts": "x"}]}, "`y_pred` must have encoded masks.*'x'"),
        ({"found": [np.zeros((40, 50))]}, "`y_pred` must have encoded masks.*encode_masks"),
        ({"found": [square(size=(50, 40))]}, r"`y_pred`: .*\(40, 50\) and \(50, 40\)"),
        ({"masks": [square(), square(size=(50, 40))], "classes": [0, 0]}, r"`y_true`: .*\(50, 40"),
    ],
)
def test_errors(changes, message):
    metrics = COCOMaskMetrics(num_classes=2)
    with pytest.raises(ValueError, match=message):
        metrics.update_state(*one_image(**changes))
    with pytest.raises(ValueError, match="nothing to score"):
        metrics.result()


def test_batches_of_different_lengths():
    y_true, y_pred = one_image()
    y_pred = {key: list(value) * 2 for key, value in y_pred.items()}
    with pytest.raises(ValueError, match=r"one row an image.*'y_true': 1, 'y_pred': 2"):
        COCOMaskMetrics(num_classes=2).update_state(y_true, y_pred)
