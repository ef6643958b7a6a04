"""Whatever strangers' files hold, it is used, reported or refused in our words: nothing is lost."""

# ruff: noqa: E402
import json
import logging
import pathlib
import time
import traceback
from collections import Counter

import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import keras_detr
from keras_detr.datasets import load_coco_json, load_voc, load_yolo
from keras_detr.datasets.data_report import PROBLEM_KINDS
from keras_detr.preprocessing.image_reading import read_image
from tests.datasets import odd_files

PACKAGE = pathlib.Path(keras_detr.__file__).parent
# In seconds.
LONGEST = 5


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr(logging.getLogger("keras_detr"), "disabled", True)


class Outcome:
    """Say what became of a data set: `error`, or `report`, `file_names` and `elements`."""

    def __init__(self, load):
        start = time.perf_counter()
        self.error = None
        try:
            dataset = load()
        except (ValueError, FileNotFoundError) as error:
            self.error = error
        else:
            self.report = dataset.report
            self.file_names = dataset.file_names
            self.elements = list(dataset.as_numpy_iterator())
        self.seconds = time.perf_counter() - start


def assert_told(outcome, name, num_images, num_boxes):
    """Assert that the error is ours and names the file, or that nothing is lost."""
    assert outcome.seconds < LONGEST
    if outcome.error is not None:
        where = traceback.extract_tb(outcome.error.__traceback__)[-1].filename
        assert PACKAGE in pathlib.Path(where).parents
        assert name in str(outcome.error)
        assert len(str(outcome.error)) < 3000
        return
    report = outcome.report
    assert report.num_images_read == num_images
    assert report.num_images_read == report.num_images + report.num_images_dropped
    assert report.num_boxes_read == report.num_boxes + report.num_boxes_dropped
    assert len(outcome.elements) == report.num_images
    boxes = [len(element["bounding_boxes"]["boxes"]) for element in outcome.elements]
    assert sum(boxes) == report.num_boxes
    if num_boxes is not None:
        assert report.num_boxes_read == num_boxes


def write_images(folder):
    """Write all odd images, and a sound one; return the names of those that there are."""
    images = odd_files.odd_images()
    folder.mkdir()
    for name, content in images.items():
        odd_files.write(folder / name, content)
    odd_files.picture().save(folder / "sound.png")
    return [*images, "sound.png"]


def coco_of(folder, names):
    box = {"category_id": 1, "bbox": [0, 0, 1, 1]}
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [{"image_id": i, **box} for i in range(len(names))],
        "categories": [{"id": 1, "name": "cat"}],
    }
    return load_coco_json(folder / "images", content, broken_images="skip"), len(names)


def yolo_of(folder, names):
    odd_files.write(folder / "data.yaml", b"train: images\nnames: [cat]\n")
    for name in names:
        label = folder / "labels" / f"{pathlib.PurePath(name).stem}.txt"
        odd_files.write(label, b"0 0.5 0.5 1 1\n")
    # An icon isn't among the kinds of images: its labels are reported.
    return load_yolo(folder, broken_images="skip"), len(names)


def voc_of(folder, names):
    stems = {pathlib.PurePath(name).stem for name in names if "\n" not in name}
    # Blanks around a name aren't part of it.
    stems = sorted(stem for stem in stems if stem == stem.strip())
    (folder / "images").rename(folder / "JPEGImages")
    box = "<xmin>1</xmin><ymin>1</ymin><xmax>1</xmax><ymax>1</ymax>"
    entry = f"<object><name>cat</name><bndbox>{box}</bndbox></object>"
    for stem in stems:
        path = folder / "Annotations" / f"{stem}.xml"
        odd_files.write(path, f"<annotation>{entry}</annotation>".encode())
    odd_files.write(folder / "ImageSets/Main/train.txt", "\n".join(stems).encode())
    return load_voc(folder, "train", broken_images="skip"), len(stems)


@pytest.mark.parametrize("load", [coco_of, yolo_of, voc_of])
def test_images(load, tmp_path):
    names = write_images(tmp_path / "images")
    found = []

    def loaded():
        dataset, number = load(tmp_path, names)
        found.append(number)
        return dataset

    outcome = Outcome(loaded)
    assert outcome.error is None
    assert_told(outcome, "", found[0], found[0])
    assert len(outcome.elements) > found[0] / 2


@pytest.mark.parametrize("name", odd_files.odd_images())
def test_reading_an_image(name, tmp_path):
    path = tmp_path / name
    odd_files.write(path, odd_files.odd_images()[name])
    start = time.perf_counter()
    try:
        image = read_image(path)
    except (ValueError, FileNotFoundError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1].filename
        assert PACKAGE in pathlib.Path(where).parents
    else:
        assert image.dtype == "uint8"
        assert image.ndim == 3
    assert time.perf_counter() - start < LONGEST


@pytest.mark.parametrize("name", odd_files.odd_coco())
def test_coco_json(name, tmp_path):
    odd_files.write(tmp_path / "images/a.png", odd_files.encoded())
    content = odd_files.odd_coco()[name]
    odd_files.write(tmp_path / "odd.json", content)
    outcome = Outcome(lambda: load_coco_json(tmp_path / "images", tmp_path / "odd.json"))
    try:
        content = json.loads(content)
        counts = len(content["images"]), len(content["annotations"])
    except (ValueError, KeyError, TypeError, RecursionError):
        counts = 1, None
        assert outcome.error is not None
    assert_told(outcome, "odd.json", *counts)


# What a person counts in these label files, where it isn't the template's two boxes.
YOLO_BOXES = {"empty": 0, "blank": 0, "header": 3, "many lines": 1000}
YOLO_BOXES |= {"comment": 3, "nan": 3, "infinite": 3, "huge": 3, "huge class": 3, "negative": 3}
YOLO_BOXES |= {"underscores": 3, "other digits": 3, "long line": 3, "json": 1, "zeros": 1}
VOC_BOXES = {"without objects": 0}


def yolo_of_labels(folder, files):
    odd_files.write(folder / "data.yaml", odd_files.TEMPLATES["yaml"].encode())
    for name, content in files.items():
        odd_files.write(folder / "images" / f"{name}.png", odd_files.encoded())
        odd_files.write(folder / "labels" / f"{name}.txt", content)
    return load_yolo(folder)


def voc_of_labels(folder, files):
    for name, content in files.items():
        odd_files.write(folder / "JPEGImages" / f"{name}.png", odd_files.encoded())
        odd_files.write(folder / "Annotations" / f"{name}.xml", content)
    odd_files.write(folder / "ImageSets/Main/train.txt", "\n".join(files).encode())
    return load_voc(folder, "train")


@pytest.mark.parametrize(
    ("load", "files", "boxes"),
    [
        (yolo_of_labels, odd_files.odd_yolo(), YOLO_BOXES),
        (voc_of_labels, odd_files.odd_voc(), VOC_BOXES),
    ],
)
def test_labels(load, files, boxes, tmp_path):
    files = {name.strip(): content for name, content in files.items()}
    outcome = Outcome(lambda: load(tmp_path, files))
    assert_told(outcome, "", len(files), None)
    names = {image_id: pathlib.Path(path).stem for image_id, path in outcome.file_names.items()}
    kept = {names[element["image_id"]]: element for element in outcome.elements}
    dropped = Counter(
        names.get(problem.image_id)
        for problem in outcome.report.problems
        if PROBLEM_KINDS[problem.kind][1] == "box"
    )
    unreadable = outcome.report.counts["unreadable_annotation"]
    assert len(kept) == len(files) - unreadable
    for name, element in kept.items():
        number = len(element["bounding_boxes"]["boxes"])
        assert number + dropped[name] == boxes.get(name, 2), name


@pytest.mark.parametrize("name", odd_files.odd_yaml())
def test_yolo_settings(name, tmp_path):
    odd_files.write(tmp_path / "images/a.png", odd_files.encoded())
    odd_files.write(tmp_path / "labels/a.txt", odd_files.TEMPLATES["yolo"].encode())
    odd_files.write(tmp_path / "data.yaml", odd_files.odd_yaml()[name])
    assert_told(Outcome(lambda: load_yolo(tmp_path)), "data.yaml", 1, 2)


LISTS = {
    "empty": b"",
    "byte order mark": b"\xef\xbb\xbfa\n",
    "windows": b"a\r\n",
    "utf-16": "a\n".encode("utf-16"),
    "zeros": bytes(16),
    "binary": bytes(range(256)),
    "missing": b"a\nb\n",
    "twice": b"a\na\n",
    "with suffix": b"a.png\n",
    "flags": b"a 1\n",
    "long": b"a" * 5000,
}


@pytest.mark.parametrize("name", LISTS)
def test_voc_lists(name, tmp_path):
    odd_files.write(tmp_path / "JPEGImages/a.png", odd_files.encoded())
    odd_files.write(tmp_path / "Annotations/a.xml", odd_files.TEMPLATES["voc"].encode())
    odd_files.write(tmp_path / "ImageSets/Main/odd.txt", LISTS[name])
    outcome = Outcome(lambda: load_voc(tmp_path, "odd"))
    num_lines = len(LISTS[name].splitlines())
    assert_told(outcome, "odd.txt", num_lines, None)


@pytest.mark.parametrize("name", LISTS)
def test_yolo_lists(name, tmp_path):
    odd_files.write(tmp_path / "images/a.png", odd_files.encoded())
    odd_files.write(tmp_path / "labels/a.txt", odd_files.TEMPLATES["yolo"].encode())
    odd_files.write(tmp_path / "data.yaml", b"train: odd.txt\nnames: [cat, dog]\n")
    content = LISTS[name].replace(b"a", b"images/a.png", 1)
    odd_files.write(tmp_path / "odd.txt", content)
    outcome = Outcome(lambda: load_yolo(tmp_path))
    assert_told(outcome, str(tmp_path), len(content.splitlines()), None)
