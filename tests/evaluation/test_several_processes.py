"""Processes that share the batches of an evaluation find what one finds, to the last digit."""

import contextlib
import io
import json

import numpy as np
import pytest

from keras_detr.evaluation import COCOEvaluation, COCOMetrics, COCOResultsWriter, evaluate_detector
from tests.devices.threads import run_as_processes
from tests.models.detectors import Batches

pytestmark = pytest.mark.every_backend

SIDE = 48
SIZES = (3, 2, 3, 1, 2)


class Oracle:
    """Detect what a generator says that is seeded with an image's first pixel."""

    num_classes = 2
    bounding_box_format = "rel_xyxy"

    def __init__(self, has_masks=False, fails_at=None):
        self.has_masks = has_masks
        self.fails_at = fails_at
        self.seen = []

    def predict_on_batch(self, inputs):
        ids = inputs["images"][:, 0, 0, 0].astype(int)
        self.seen.append(ids.tolist())
        if self.fails_at in ids:
            raise ZeroDivisionError("a wrong image")
        found = [objects(seed, is_found=True) for seed in ids]
        found = {name: np.stack([one[name] for one in found]) for name in found[0]}
        masks = found.pop("masks")
        if self.has_masks:
            found["mask_logits"] = np.where(masks, 4.0, -4.0)
        return found


def objects(seed, is_found):
    """Return six objects of an image, of two classes and with many ties, or the truth of it."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 0.5, (6, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.1, 0.5, (6, 2))], axis=1)
    classes = rng.integers(0, 2, 6)
    if is_found:
        boxes = np.clip(boxes + rng.normal(0, 0.04, boxes.shape), 0, 1)
    pixels = (np.arange(SIDE) + 0.5) / SIDE
    x1, y1, x2, y2 = boxes.T[:, :, None]
    masks = ((pixels > y1) & (pixels < y2))[:, :, None] & ((pixels > x1) & (pixels < x2))[:, None]
    return {
        "boxes": boxes.astype("float32"),
        "classes": classes,
        "masks": masks,
        **({"confidence": rng.integers(1, 4, 6) / 4} if is_found else {}),
    }


def batch_of(ids, masks=True):
    images = np.full((len(ids), SIDE, SIDE, 3), 100.0, "float32")
    images[:, 0, 0, 0] = ids
    truth = [objects(seed, is_found=False) for seed in ids]
    names = ("boxes", "classes", "masks") if masks else ("boxes", "classes")
    return {
        "images": images,
        "image_id": np.array(ids),
        "image_size": np.full((len(ids), 2), 2 * SIDE),
        "bounding_boxes": {name: np.stack([one[name] for one in truth]) for name in names},
    }


def batches_of(sizes=SIZES):
    ends = np.cumsum(sizes)
    return [batch_of(range(end - size, end)) for end, size in zip(ends, sizes, strict=True)]


@pytest.mark.parametrize("kind", [list, lambda batches: Batches(*batches), iter])
@pytest.mark.parametrize(("count", "has_masks"), [(2, True), (3, False), (7, True)])
def test_the_figures_are_those_of_one_process(kind, count, has_masks, monkeypatch):
    batches = batches_of()
    expected_metrics = COCOMetrics("rel_xyxy", num_classes=2)
    expected = evaluate_detector(Oracle(has_masks), batches, metrics=expected_metrics)
    models = [Oracle(has_masks) for _ in range(count)]
    metrics = [COCOMetrics("rel_xyxy", num_classes=2) for _ in range(count)]

    def evaluate(index):
        return evaluate_detector(models[index], kind(batches), metrics=metrics[index])

    results = run_as_processes(evaluate, count, monkeypatch)
    # The order of images decides between detections of the same confidence.
    reverse = evaluate_detector(Oracle(has_masks), batches[::-1])
    assert reverse["AP"] != expected["AP"]
    for result, own in zip(results, metrics, strict=True):
        np.testing.assert_equal(result, expected)
        np.testing.assert_equal(own.result_per_class(), expected_metrics.result_per_class())
    # A smaller batch is padded by each process to the largest that it has seen.
    seen = [[ids[0] for ids in model.seen] for model in models]
    firsts = [batch["image_id"][0] for batch in batches]
    assert seen == [firsts[index::count] for index in range(count)]


def test_metrics_keep_the_images_that_they_had(monkeypatch):
    batches = batches_of()
    expected = COCOMetrics("rel_xyxy", num_classes=2)
    for part in (batches[:2], batches[2:]):
        evaluate_detector(Oracle(), part, metrics=expected)

    def evaluate(index):
        metrics = COCOMetrics("rel_xyxy", num_classes=2)
        for part in (batches[:2], batches[2:]):
            evaluate_detector(Oracle(), part, metrics=metrics)
        return metrics

    for metrics in run_as_processes(evaluate, 2, monkeypatch):
        assert metrics.num_images == sum(SIZES)
        np.testing.assert_equal(metrics.result(), expected.result())


class Part(list):
    """A process' own rows of each batch."""

    is_part_of_process = True


def test_a_part_of_a_process_is_read_whole(monkeypatch):
    ids = [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10)]
    expected = evaluate_detector(Oracle(True), [batch_of(rows) for rows in ids])

    def evaluate(index):
        own = slice(2 * index, 2 * index + 2)
        return evaluate_detector(Oracle(True), Part(batch_of(rows[own]) for rows in ids))

    for result in run_as_processes(evaluate, 2, monkeypatch):
        np.testing.assert_equal(result, expected)


def test_an_error_in_one_process_is_one_in_all(monkeypatch):
    def evaluate(index):
        evaluate_detector(Oracle(fails_at=4 if index == 1 else None), batches_of())

    first, second = run_as_processes(evaluate, 2, monkeypatch)
    assert isinstance(second, ZeroDivisionError)
    assert isinstance(first, RuntimeError)
    assert "Process 1 has failed here" in str(first)
    assert "a wrong image" in str(first)


def test_masks_of_some_processes_only_are_refused(monkeypatch):
    def evaluate(index):
        evaluate_detector(Oracle(True), [batch_of([0]), batch_of([1], masks=False)])

    for error in run_as_processes(evaluate, 2, monkeypatch):
        assert "Received both kinds" in str(error)


def test_the_first_process_writes_the_file_of_all(tmp_path, monkeypatch):
    def write(folder):
        folder.mkdir(exist_ok=True)
        with COCOResultsWriter(folder / "results.json", category_ids=(1, 5)) as writer:
            evaluate_detector(
                Oracle(True),
                batches_of(),
                on_batch=lambda batch, found: writer.write(batch["image_id"], found),
            )
        return writer.num_detections

    number = write(tmp_path / "one")
    assert run_as_processes(lambda index: write(tmp_path / "two"), 2, monkeypatch) == [number] * 2
    one, two = (tmp_path / name / "results.json" for name in ("one", "two"))
    assert one.read_text() == two.read_text()
    assert len(json.loads(two.read_text())) == number == 6 * sum(SIZES)
    assert [path.name for path in two.parent.iterdir()] == ["results.json"]


@pytest.mark.parametrize("failing", [0, 1])
def test_nothing_is_written_where_a_process_fails(failing, tmp_path, monkeypatch):
    def write(index):
        with COCOResultsWriter(tmp_path / "results.json", category_ids=(1, 5)):
            if index == failing:
                raise ZeroDivisionError

    errors = run_as_processes(write, 2, monkeypatch)
    assert isinstance(errors[failing], ZeroDivisionError)
    assert f"Process {failing} has failed here" in str(errors[1 - failing])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_missing_is_an_error_in_all(tmp_path, monkeypatch):
    def write(index):
        with COCOResultsWriter(tmp_path / "missing" / "results.json", category_ids=(1, 5)):
            pass

    first, second = run_as_processes(write, 2, monkeypatch)
    assert isinstance(first, FileNotFoundError)
    assert "must lie in a folder" in str(second)


def test_only_the_first_process_prints(monkeypatch):
    shown = io.StringIO()

    def evaluate(index):
        callback = COCOEvaluation(batches_of(), verbose=2)
        callback.set_model(Oracle())
        callback.on_train_begin()
        logs = {}
        callback.on_epoch_end(0, logs)
        return logs

    with contextlib.redirect_stdout(shown):
        one, two = run_as_processes(evaluate, 2, monkeypatch)
    np.testing.assert_equal(one, two)
    assert shown.getvalue().count("Epoch 1, in percent") == 1
    # Of five batches, the first process has three.
    assert "3/3" in shown.getvalue()
    assert "2/2" not in shown.getvalue()
