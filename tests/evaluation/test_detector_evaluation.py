import numpy as np
import pytest

from keras_detr.evaluation import COCOMetrics, evaluate_detector
from keras_detr.ops.boxes import convert_box_format

pytestmark = pytest.mark.every_backend

# Two images of 100x200 and 200x100 pixels, halved, on a canvas of 100x100.
ORIGINAL_SIZE = np.array([[100, 200], [200, 100]])
SEEN_SIZE = ORIGINAL_SIZE // 2
BOXES = np.array([[[0.1, 0.2, 0.5, 0.9], [0.5, 0.1, 0.6, 0.3]], [[0.0, 0.0, 1.0, 0.5], [-1.0] * 4]])
CLASSES = np.array([[0, 2], [1, -1]])


class Oracle:
    """Answer with given boxes, whatever the image."""

    num_classes = 3

    def __init__(self, bounding_box_format, boxes):
        self.bounding_box_format = bounding_box_format
        self.boxes = boxes

    def predict_on_batch(self, inputs):
        return {
            "boxes": self.boxes,
            "classes": CLASSES,
            "confidence": np.full((2, 2), 0.9),
            "num_detections": np.array([2, 1]),
        }


def batch_in(bounding_box_format, **extra):
    mask = np.zeros((2, 100, 100), "uint8")
    for row, (height, width) in zip(mask, SEEN_SIZE, strict=True):
        row[:height, :width] = 1
    size = SEEN_SIZE[:, :1], SEEN_SIZE[:, 1:]
    boxes = convert_box_format(BOXES, "rel_xyxy", bounding_box_format, size, np.stack)
    return {
        "images": np.zeros((2, 100, 100, 3), "float32"),
        "pixel_mask": mask,
        "image_size": ORIGINAL_SIZE,
        "bounding_boxes": {"boxes": boxes, "classes": CLASSES, **extra},
    }


@pytest.mark.parametrize("bounding_box_format", ["rel_xyxy", "xywh", "center_yxhw"])
def test_the_truth_as_prediction_scores_one(bounding_box_format):
    batch = batch_in(bounding_box_format)
    model = Oracle(bounding_box_format, batch["bounding_boxes"]["boxes"])
    assert evaluate_detector(model, [batch])["AP"] == pytest.approx(1.0)


def test_boxes_that_carry_another_format_are_refused():
    batch = {**batch_in("rel_xyxy"), "bounding_box_format": np.array([b"rel_xyxy"] * 2, object)}
    evaluate_detector(Oracle("rel_xyxy", BOXES), [batch])
    with pytest.raises(ValueError, match=r"the model takes boxes as `rel_xywh`.*`rel_xyxy`"):
        evaluate_detector(Oracle("rel_xywh", BOXES), [batch])


def test_shifted_boxes_score_less():
    batch = batch_in("rel_xyxy")
    model = Oracle("rel_xyxy", BOXES + np.array([0.0, 0.15, 0.0, 0.15]))
    assert evaluate_detector(model, [batch])["AP"] < 0.7


def test_areas_are_those_of_the_original_image():
    # 24 x 24 pixels as seen are 48 x 48 in the original: medium, not small.
    area = np.array([[24.0**2, 24.0**2], [24.0**2, 0.0]])
    batch = batch_in("rel_xyxy", area=area, is_crowd=np.zeros((2, 2)))
    figures = evaluate_detector(Oracle("rel_xyxy", BOXES), [batch])
    assert np.isnan(figures["AP_small"])
    assert figures["AP_medium"] == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["area", "is_crowd"])
def test_rows_out_of_step_with_boxes_are_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` must have one row a box.*3 rows and 2 boxes"):
        evaluate_detector(
            Oracle("rel_xyxy", BOXES), [batch_in("rel_xyxy", **{name: CLASSES[:, [0, 1, 1]]})]
        )


def test_a_batch_without_original_sizes_is_refused():
    batch = batch_in("rel_xyxy")
    del batch["image_size"]
    with pytest.raises(ValueError, match="image_size"):
        evaluate_detector(Oracle("rel_xyxy", BOXES), [batch])


def test_no_batches_are_refused():
    with pytest.raises(ValueError, match="nothing to score"):
        evaluate_detector(Oracle("rel_xyxy", BOXES), [])


class Recorder(Oracle):
    """Record the number of images of each batch, and return as many detections."""

    def __init__(self):
        super().__init__("rel_xyxy", BOXES)
        self.seen = []

    def predict_on_batch(self, inputs):
        self.seen.append({name: len(value) for name, value in inputs.items()})
        rows = np.arange(len(inputs["images"])) % 2
        return {name: value[rows] for name, value in super().predict_on_batch(inputs).items()}


def rows_of(batch, rows):
    boxes = {name: value[rows] for name, value in batch["bounding_boxes"].items()}
    return {**{name: batch[name][rows] for name in batch if name != "bounding_boxes"}} | {
        "bounding_boxes": boxes
    }


def test_a_smaller_last_batch_is_filled_up():
    batch = batch_in("rel_xyxy")
    first, last = rows_of(batch, [0, 1, 0]), rows_of(batch, [0])
    model, small = Recorder(), Recorder()
    figures = evaluate_detector(model, [first, last])
    assert model.seen == [{"images": 3, "pixel_mask": 3}] * 2
    np.testing.assert_equal(figures, evaluate_detector(small, [last, first]))
    assert [seen["images"] for seen in small.seen] == [1, 3]


def test_batches_and_detections_are_handed_on():
    batch = batch_in("xywh")
    seen = []
    model = Oracle("xywh", batch["bounding_boxes"]["boxes"])
    evaluate_detector(model, [batch], on_batch=lambda *arguments: seen.append(arguments))
    ((seen_batch, detections),) = seen
    assert seen_batch is batch
    expected = BOXES[0] * np.array([200, 100, 200, 100])
    np.testing.assert_allclose(detections["boxes"][0], expected)
    np.testing.assert_array_equal(detections["num_detections"], [2, 1])


def test_given_metrics_are_filled():
    batch = batch_in("rel_xyxy")
    metrics = COCOMetrics("rel_xyxy", num_classes=3)
    evaluate_detector(Oracle("rel_xyxy", BOXES), [batch], metrics=metrics)
    assert metrics.result_per_class() == pytest.approx({"0": 1.0, "1": 1.0, "2": 1.0})
    with pytest.raises(ValueError, match=r"`metrics` must be made with .*rel_xyxy.*'xyxy'"):
        evaluate_detector(
            Oracle("rel_xyxy", BOXES), [batch], metrics=COCOMetrics("xyxy", num_classes=3)
        )


@pytest.mark.parametrize(
    ("boxes_in", "expected", "message"),
    [("xyxy", "rel_xyxy", "lies outside its image"), ("rel_xyxy", "xyxy", "all boxes .* in 0..1")],
)
def test_boxes_of_another_format_are_refused(boxes_in, expected, message):
    batch = batch_in(boxes_in)
    with pytest.raises(ValueError, match=message):
        evaluate_detector(Oracle(expected, batch["bounding_boxes"]["boxes"]), [batch])
