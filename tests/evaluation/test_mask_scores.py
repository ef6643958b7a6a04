"""COCO's metrics of masks in `evaluate_detector` and `COCOEvaluation`."""

import keras
import numpy as np
import pytest

from keras_detr.evaluation import (
    COCOEvaluation,
    COCOMaskMetrics,
    class_table,
    evaluate_detector,
    summary_table,
)
from keras_detr.evaluation.summary import MEANINGS
from keras_detr.inference import encode_masks, instance_masks
from keras_detr.ops.masks.mask_sampling import CENTER, nearest_pixels
from tests.evaluation.evaluated_sets import ellipses, masks_by_pycocotools
from tests.models.detectors import DETECTORS, HEIGHT, NUM_CLASSES, WIDTH, inputs_of, tiny_batch

pytestmark = [
    pytest.mark.every_backend,
    # Keras hands its variables to NumPy 2, whose protocol they don't speak in full yet.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning"),
]

CANVAS = (160, 200)
MASK_FIGURES = [f"mask_{name}" for name in MEANINGS]


class Oracle:
    """Find the objects of given batches one after the other, with masks a few pixels off."""

    num_classes = 3
    bounding_box_format = "rel_xyxy"
    has_masks = True

    def __init__(self, batches, shift=4):
        self.batches = iter(batches)
        self.shift = shift
        self.answers = []

    def predict_on_batch(self, inputs):
        truth = next(self.batches)["bounding_boxes"]
        classes = truth["classes"].copy()
        classes[:, -1] = 2
        masks = np.roll(truth["masks"], self.shift, axis=2)[..., ::4, ::4]
        found = {
            "boxes": np.tile([0.1, 0.1, 0.4, 0.4], (*classes.shape, 1)),
            "classes": classes,
            "confidence": np.linspace(0.9, 0.1, classes.size).reshape(classes.shape),
            "num_detections": np.array([classes.shape[1] - 1, classes.shape[1]]),
            "mask_logits": np.where(masks, 2.0, -3.0).astype("float32"),
        }
        self.answers.append(found)
        return found


def random_batch(seed, original_sizes, seen_sizes, num_true=6):
    """Return a batch with padding rows and crowds, and the masks of its original images."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(-1, 3, (2, num_true))
    masks = np.zeros((2, num_true, *CANVAS), bool)
    pixel_mask = np.zeros((2, *CANVAS), "uint8")
    originals = [ellipses(rng, num_true, size) for size in original_sizes]
    for index, (height, width) in enumerate(seen_sizes):
        rows, columns = (
            ((np.arange(side) + 0.5) * before / side).astype(int)
            for side, before in zip((height, width), original_sizes[index], strict=True)
        )
        masks[index, :, :height, :width] = originals[index][:, rows[:, None], columns]
        pixel_mask[index, :height, :width] = 1
    truth = {
        "boxes": np.tile([0.1, 0.1, 0.4, 0.4], (2, num_true, 1)),
        "classes": classes,
        "masks": masks,
        "is_crowd": rng.uniform(size=classes.shape) < 0.2,
        "area": masks.sum((2, 3)) * rng.uniform(0.8, 1, classes.shape),
    }
    batch = {
        "images": np.zeros((2, *CANVAS, 3), "float32"),
        "pixel_mask": pixel_mask,
        "image_size": np.array(original_sizes),
        "bounding_boxes": truth,
    }
    return batch, originals


def expected_update(batch, originals, found, sizes):
    """Return what `COCOMaskMetrics.update_state` takes, computed apart, with masks of `sizes`."""
    truth = batch["bounding_boxes"]
    seen_sizes = batch["pixel_mask"].any(2).sum(1), batch["pixel_mask"].any(1).sum(1)
    scale = np.prod(batch["image_size"], axis=1) / (seen_sizes[0] * seen_sizes[1])
    y_true = {
        "masks": [encode_masks(masks) for masks in originals],
        "classes": truth["classes"],
        "is_crowd": truth["is_crowd"],
        "area": truth["area"] * scale[:, None],
    }
    masks = [
        instance_masks(logits, canvas_size=CANVAS, unpadded_size=seen, image_size=size)
        for logits, seen, size in zip(
            found["mask_logits"], np.stack(seen_sizes, axis=1), sizes, strict=True
        )
    ]
    return y_true, {**found, "masks": [encode_masks(of_image) for of_image in masks]}


def without_padding(y_pred):
    """Leave out the detections of class -1, which pycocotools doesn't know as padding."""
    keys = ("masks", "classes", "confidence")
    kept = {key: [] for key in keys}
    for index, number in enumerate(y_pred["num_detections"]):
        places = [n for n in range(number) if y_pred["classes"][index][n] >= 0]
        for key in keys:
            kept[key].append([y_pred[key][index][n] for n in places])
    return {**kept, "num_detections": [len(row) for row in kept["classes"]]}


def test_enlarged_images_have_the_figures_that_pycocotools_finds_of_the_originals():
    original_sizes, seen_sizes = [(110, 150), (130, 97)], [(145, 198), (160, 119)]
    pairs = [random_batch(seed, original_sizes, seen_sizes) for seed in range(3)]
    batches = [batch for batch, _ in pairs]
    model, metrics = Oracle(batches), COCOMaskMetrics(num_classes=3)
    result = evaluate_detector(model, batches, mask_metrics=metrics)
    updates = [
        expected_update(*pair, found, original_sizes)
        for pair, found in zip(pairs, model.answers, strict=True)
    ]
    expected = masks_by_pycocotools([(y, without_padding(found)) for y, found in updates], 3)
    assert list(result) == [*MEANINGS, *MASK_FIGURES]
    assert 0.2 < result["mask_AP"] < 0.9
    # Both divide in float64, in another order.
    figures = [result[name] for name in MASK_FIGURES]
    np.testing.assert_allclose(figures, expected[0], rtol=0, atol=1e-12)
    by_class = list(metrics.result_per_class().values())
    np.testing.assert_allclose(by_class, expected[1], rtol=0, atol=1e-12)


def test_reduced_images_are_compared_at_their_size_in_the_batch():
    original_sizes, seen_sizes = [(300, 380), (310, 190)], [(150, 190), (155, 95)]
    batch, originals = random_batch(3, original_sizes, seen_sizes)
    model, seen = Oracle([batch]), []
    result = evaluate_detector(model, [batch], on_batch=lambda _, found: seen.append(found))
    # Each axis is halved, so the second of two pixels is taken.
    halves = [masks[:, 1::2, 1::2] for masks in originals]
    y_true, y_pred = expected_update(batch, halves, model.answers[0], seen_sizes)
    metrics = COCOMaskMetrics(num_classes=3)
    metrics.update_state(y_true, y_pred, image_sizes=np.array(original_sizes))
    assert 0.2 < result["mask_AP"] < 0.9
    np.testing.assert_equal(
        [result[name] for name in MASK_FIGURES], list(metrics.result().values())
    )
    # What is handed on has the size of the original.
    _, y_pred = expected_update(batch, halves, model.answers[0], original_sizes)
    is_real = np.arange(6) < y_pred["num_detections"][:, None]
    is_real &= y_pred["classes"] >= 0
    for index, masks in enumerate(y_pred["masks"]):
        expected = [m if is_one else None for m, is_one in zip(masks, is_real[index], strict=True)]
        assert seen[0]["masks"][index] == expected


def test_areas_are_in_pixels_of_the_original():
    mask = np.zeros((2, 1, *CANVAS), bool)
    mask[0, 0, :24, :24] = True
    # 24 x 24 pixels as seen are 48 x 48 in the original: medium, also where nothing is there.
    batch = {
        "images": np.zeros((2, *CANVAS, 3), "float32"),
        "image_size": 2 * np.array([CANVAS] * 2),
        "bounding_boxes": {
            "boxes": np.full((2, 1, 4), [[0.0, 0.0, 0.5, 0.5]]),
            "classes": np.array([[0], [-1]]),
            "masks": mask,
        },
    }

    class Both(Oracle):
        def predict_on_batch(self, inputs):
            logits = np.where(mask[:1, :, ::4, ::4], 2.0, -2.0).repeat(2, 0).astype("float32")
            zeros = np.zeros((2, 1), int)
            confidence = np.array([[0.5], [0.9]])
            boxes = batch["bounding_boxes"]["boxes"]
            found = {"boxes": boxes, "classes": zeros, "confidence": confidence}
            return {**found, "mask_logits": logits}

    result = evaluate_detector(Both([]), [batch])
    assert np.isnan(result["mask_AP_small"])
    assert result["mask_AP_medium"] == pytest.approx(0.5)


@pytest.mark.parametrize("length", [1, 2, 7, 30])
def test_a_side_that_was_lengthened_can_be_restored(length):
    for longer in range(length, 4 * length + 3):
        lengthened = np.arange(length)[nearest_pixels(length, longer, CENTER)]
        restored = lengthened[nearest_pixels(longer, length, CENTER)]
        np.testing.assert_array_equal(restored, np.arange(length))


def small_batch(has_masks=True):
    batch, _ = random_batch(0, [(80, 90)] * 2, [(80, 90)] * 2)
    if not has_masks:
        truth = batch["bounding_boxes"]
        batch["bounding_boxes"] = {name: truth[name] for name in truth if name != "masks"}
    return batch


def test_a_model_without_masks_is_scored_by_boxes():
    batch = small_batch()
    model = Oracle([batch])
    model.has_masks = False
    assert list(evaluate_detector(model, [batch])) == list(MEANINGS)
    with pytest.raises(ValueError, match=r"`mask_metrics` are for models with masks.*an? Oracle"):
        evaluate_detector(model, [batch], mask_metrics=COCOMaskMetrics(num_classes=3))


def test_batches_without_masks_are_scored_by_boxes_and_told_once(caplog):
    with_masks, without = small_batch(), small_batch(has_masks=False)
    callback = COCOEvaluation([without, without], per_class=True, verbose=0)
    callback.set_model(Oracle([with_masks] * 4))
    callback.on_train_begin()
    logs = {}
    for epoch in range(2):
        callback.on_epoch_end(epoch, logs)
    assert {name for name in logs if "mask" in name} == set()
    assert caplog.text.count("Only boxes are evaluated") == 1


@pytest.mark.parametrize("kinds", [(True, False), (False, True)])
def test_batches_of_both_kinds_are_refused(kinds):
    batches = [small_batch(has_masks) for has_masks in kinds]
    with pytest.raises(ValueError, match=r"All batches must have 'masks'.*or none"):
        evaluate_detector(Oracle([small_batch()] * 2), batches)


def test_masks_of_another_size_are_refused_before_training():
    batch = small_batch()
    batch["bounding_boxes"]["masks"] = batch["bounding_boxes"]["masks"][..., ::2, ::2]
    callback = COCOEvaluation([batch])
    callback.set_model(Oracle([]))
    with pytest.raises(ValueError, match=r"`masks` must have the size of the images.*160, 200"):
        callback.on_train_begin()


def test_the_logs_of_a_segmenter_have_figures_of_masks(capsys):
    keras.utils.set_random_seed(0)
    model = DETECTORS["detr_segmenter"].build(class_names=["cat", "dog", "cow"])
    batch = tiny_batch(batch_size=2)
    inputs = inputs_of(batch)
    sides = batch["pixel_mask"].any(2).sum(1), batch["pixel_mask"].any(1).sum(1)
    seen_sizes = np.stack(sides, axis=1)
    found = model.predict_on_batch(inputs)
    found = {name: keras.ops.convert_to_numpy(value) for name, value in found.items()}
    masks = [
        instance_masks(logits, canvas_size=(HEIGHT, WIDTH), unpadded_size=size, image_size=size)
        for logits, size in zip(found["mask_logits"], seen_sizes, strict=True)
    ]
    # The first image's objects are what the model finds third to fifth.
    truth = batch["bounding_boxes"]
    truth["boxes"][:] = truth["boxes"][0, 0]
    truth["classes"] = np.stack([found["classes"][0, 2:5], [-1] * 3]).astype("int32")
    height, width = seen_sizes[0]
    truth["masks"] = np.zeros((2, 3, HEIGHT, WIDTH), bool)
    truth["masks"][0, :, :height, :width] = masks[0][2:5]
    metrics = COCOMaskMetrics(num_classes=NUM_CLASSES, class_names=model.class_names)
    y_true = {"masks": [encode_masks(masks[0][2:5]), [None] * 3], "classes": truth["classes"]}
    metrics.update_state(y_true, {**found, "masks": [encode_masks(m) for m in masks]})
    callback = COCOEvaluation([{**batch, "image_size": seen_sizes}], per_class=True)
    callback.set_model(model)
    callback.on_train_begin()
    logs = {}
    callback.on_epoch_end(0, logs)
    assert logs["val_mask_AP"] > 0.1
    expected = metrics.result()
    expected |= {f"AP/{name}": value for name, value in metrics.result_per_class().items()}
    logged = {name.removeprefix("val_mask_"): logs[name] for name in logs if "_mask_" in name}
    np.testing.assert_equal(logged, expected)
    assert callback.get_training_state()["figures"] == logs
    said = capsys.readouterr().out
    assert f"AP{100 * logs['val_AP']:>14.1f}{100 * expected['AP']:>7.1f}  IoU 0.50:0.95" in said
    assert "AP  mask AP" in said


def test_tables():
    boxes = dict.fromkeys(MEANINGS, 0.5)
    lines = summary_table({**boxes, **dict.fromkeys(MASK_FIGURES, 0.25)}).splitlines()
    assert lines[0].split() == ["boxes", "masks"]
    assert lines[1].split()[:3] == ["AP", "50.0", "25.0"]
    best = {"cat": {"F1": 0.75, "confidence_threshold": 0.5}}
    lines = class_table({"cat": 0.5}, best, {"cat": 0.25}).splitlines()
    assert lines[0].split() == ["class", "AP", "mask", "AP", "F1", "confidence"]
    assert lines[1].split() == ["cat", "50.0", "25.0", "75.0", "0.50"]
