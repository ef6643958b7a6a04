import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keras_detr.evaluation import COCOResultsWriter, evaluate_detector
from keras_detr.inference import decode_masks, encode_masks

pytestmark = pytest.mark.every_backend

IDS = (1, 5, 90)


def detections(**changes):
    found = {
        "boxes": np.array([[[1.0, 2.0, 4.004, 6.5], [0.0, 0.0, 9.0, 9.0], [3.0, 3.0, 4.0, 4.0]]]),
        "classes": np.array([[2, 0, -1]]),
        "confidence": np.array([[0.123456789, 1e-9, 0.5]], "float32"),
    }
    return {**found, **changes}


def test_the_file_is_coco_results(tmp_path):
    path = tmp_path / "results.json"
    with COCOResultsWriter(path, category_ids=IDS) as writer:
        writer.write(np.array([7]), detections())
        writer.write(np.array([2**40]), detections(num_detections=np.array([1])))
        assert not path.exists()
    first = {"image_id": 7, "category_id": 90, "bbox": [1, 2, 3, 4.5]}
    second = {"image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9]}
    records = json.loads(path.read_text())
    # In full: fewer digits would make ties, and so another AP.
    scores = np.array([record.pop("score") for record in records], "float32")
    np.testing.assert_array_equal(scores, np.array([0.123456789, 1e-9, 0.123456789], "float32"))
    assert records == [first, second, {**first, "image_id": 2**40}]
    assert writer.num_detections == 3
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_masks_are_segmentations(tmp_path):
    path = tmp_path / "results.json"
    rows, columns = np.indices((20, 30))
    codes = encode_masks([rows % 3 > columns % 5, rows > columns])
    with COCOResultsWriter(path, category_ids=IDS) as writer:
        writer.write(np.array([7]), detections(masks=[[*codes, None]]))
    coco = COCO()
    coco.dataset = {"images": [{"id": 7, "height": 20, "width": 30}], "info": {}}
    coco.dataset |= {"categories": [{"id": id} for id in IDS], "annotations": []}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        found = coco.loadRes(str(path))
    read_back = [found.annToRLE(entry) for entry in found.loadAnns(found.getAnnIds())]
    masks = [decode_masks(both, image_size=(20, 30)) for both in (read_back, codes)]
    np.testing.assert_array_equal(*masks)


def test_classes_that_the_annotations_lack_are_left_out(tmp_path):
    path = tmp_path / "results.json"
    with COCOResultsWriter(path, category_ids=(None, 5, 90)) as writer:
        writer.write(np.array([7]), detections())
    assert [record["category_id"] for record in json.loads(path.read_text())] == [90]
    assert writer.num_detections == 1


def test_no_detections_are_an_empty_list(tmp_path):
    path = tmp_path / "results.json"
    with COCOResultsWriter(path, category_ids=IDS) as writer:
        writer.write(np.array([7]), detections(num_detections=np.array([0])))
    assert json.loads(path.read_text()) == []


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("earlier")

    def write_and_fail():
        with COCOResultsWriter(path, category_ids=IDS[:2]) as writer:
            writer.write(np.array([7]), detections(classes=np.array([[0, 1, 0]])))
            writer.write(np.array([8]), detections())

    with pytest.raises(ValueError, match=r"Received: 2 ids, and a detection of class 2"):
        write_and_fail()
    assert path.read_text() == "earlier"
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_wrong_use_is_refused(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="in a folder that exists"),
        COCOResultsWriter(tmp_path / "no" / "results.json", category_ids=IDS),
    ):
        pass
    with pytest.raises(ValueError, match="inside of a `with` block"):
        COCOResultsWriter(tmp_path / "results.json", category_ids=IDS).write([1], detections())


class NoisyOracle:
    """Detect the objects of given batches, one after the other, a few pixels off."""

    num_classes = len(IDS)
    bounding_box_format = "xyxy"

    def __init__(self, batches):
        self.rng = np.random.default_rng(1)
        self.answers = iter([batch["bounding_boxes"] for batch in batches])

    def predict_on_batch(self, inputs):
        truth = next(self.answers)
        boxes = np.concatenate([truth["boxes"]] * 3, axis=1)
        classes = np.concatenate([truth["classes"]] * 3, axis=1)
        classes[:, 5:8] = (classes[:, 5:8] + 1) % len(IDS)
        confidence = self.rng.uniform(size=classes.shape).astype("float32")
        boxes = boxes + self.rng.normal(0, 3, boxes.shape)
        return {"boxes": boxes, "classes": classes, "confidence": confidence}


def random_batches(num_batches=8):
    """Return batches of images that were twice as large before."""
    rng = np.random.default_rng(0)
    batches = []
    for number in range(num_batches):
        corner = rng.uniform(0, 80, (2, 5, 2))
        size = rng.uniform(4, 90, (2, 5, 2))
        batches.append(
            {
                "images": np.zeros((2, 170, 180, 3), "float32"),
                "image_size": np.array([[340, 360]] * 2),
                "image_id": np.array([2 * number + 100, 2 * number + 101]),
                "bounding_boxes": {
                    "boxes": np.concatenate([corner, corner + size], axis=-1),
                    "classes": rng.integers(0, len(IDS), (2, 5)),
                    "area": size.prod(-1),
                },
            }
        )
    return batches


def truth_of(batches):
    """Return the annotations of the original images, as pycocotools holds them."""
    annotations = []
    for batch in batches:
        truth = batch["bounding_boxes"]
        for place in np.ndindex(truth["classes"].shape):
            left, top, right, bottom = (2 * truth["boxes"][place]).tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": int(batch["image_id"][place[0]]),
                    "category_id": IDS[truth["classes"][place]],
                    "bbox": [left, top, right - left, bottom - top],
                    "area": 4 * float(truth["area"][place]),
                    "iscrowd": 0,
                }
            )
    coco = COCO()
    images = [{"id": int(image_id)} for batch in batches for image_id in batch["image_id"]]
    categories = [{"id": category} for category in IDS]
    coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
    coco.dataset["info"] = {}
    coco.createIndex()
    return coco


def test_a_file_that_is_read_back_has_the_figures_of_the_evaluation(tmp_path):
    batches = random_batches()
    path = tmp_path / "results.json"
    with COCOResultsWriter(path, category_ids=IDS) as writer:
        result = evaluate_detector(
            NoisyOracle(batches),
            batches,
            on_batch=lambda batch, found: writer.write(batch["image_id"], found),
        )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = truth_of(batches)
        evaluation = COCOeval(truth, truth.loadRes(str(path)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert 0.1 < result["AP"] < 0.9
    # Boxes are rounded to a hundredth of a pixel.
    np.testing.assert_allclose(list(result.values()), evaluation.stats, atol=1e-3)
