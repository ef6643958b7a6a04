"""Broken annotations give a clear error or counted drops, whatever is broken about them."""

# ruff: noqa: E402
import copy
import json
import logging
import random

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from PIL import Image

from keras_detr.datasets import coco_json, load_coco_json, records_dataset
from keras_detr.datasets.data_report import PROBLEM_KINDS

NUM_CASES = 2_000
HEIGHT, WIDTH = 24, 32
MESSAGES = ("`annotations`", "'categories'", "No image can be used", "No box can be used")

JUNK = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    3,
    7.0,
    0.5,
    -3.25,
    1e-12,
    1e39,
    1e308,
    -1e308,
    10**19,
    -(10**25),
    10**400,
    10**5000,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    "7",
    "abc",
    "a.png",
    "../a.png",
    "a\0b",
    "\ud800",
    "x" * 5000,
    [],
    {},
    [None],
    [[1, 2, 3, 4]],
    [1, 2, 3],
    [1, 2, 3, 4, 5],
    ["1", "2", "3", "4"],
    {"id": {}},
    {1: 2},
    (1, 2, 3, 4),
    b"bytes",
    1j,
    object(),
    np.float32(2),
    np.int64(3),
    np.nan,
    np.arange(4),
    np.ones((2, 4)),
    np.array("text"),
)


@pytest.fixture(scope="module")
def images_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name in ("a.png", "b.png", "c.jpg"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / name)
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:18])
    return folder


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr(logging.getLogger("keras_detr"), "disabled", True)


@pytest.fixture
def tables(monkeypatch):
    """Return a list that gathers the checked tables, which tf.data needs most of the time for."""
    gathered = []

    def keep(images, boxes, *_):
        gathered.append((images, boxes))
        return tf.data.Dataset.range(0)

    monkeypatch.setattr(records_dataset, "_elements", keep)
    return gathered


def drawn_content(draw):
    """Return COCO-JSON whose boxes are drawn around the image, inside of it and out."""
    names = ("a.png", "b.png", "c.jpg", "broken.png", "gone.png")
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    for image in images:
        if draw.random() < 0.7:
            image.update(height=HEIGHT, width=WIDTH)
    if draw.random() < 0.05:
        images[1]["id"] = 0
    annotations = []
    for number in range(draw.randrange(1, 8)):
        corner = [draw.uniform(-10, WIDTH), draw.uniform(-10, HEIGHT)]
        annotation = {
            "id": number,
            "image_id": draw.randrange(5),
            "category_id": draw.choice((3, 5)),
            "bbox": [*corner, draw.uniform(-1, 20), draw.uniform(-1, 20)],
            "iscrowd": draw.randrange(2),
            "area": draw.uniform(0, 400),
            "segmentation": drawn_segmentation(draw),
        }
        annotations.append(annotation)
    if len(annotations) == 6:
        images[2]["file_name"] = "./a.png"
    categories = [{"id": 3, "name": "three"}, {"id": 5, "name": "five"}]
    if len(annotations) == 7:
        categories.insert(0, {"id": 1, "name": "three"})
    return {"images": images, "annotations": annotations, "categories": categories}


def drawn_segmentation(draw):
    """Return a triangle around the image, or RLE that is of another image now and then."""
    if draw.random() < 0.6:
        left, top = draw.uniform(-3, WIDTH), draw.uniform(-3, HEIGHT)
        return [[left, top, left + draw.uniform(0, 20), top, left, top + draw.uniform(0, 20)]]
    width = WIDTH + (draw.random() < 0.1)
    counts = [draw.randrange(40), draw.randrange(1, 40)]
    return {"size": [HEIGHT, width], "counts": [*counts, HEIGHT * width - sum(counts)]}


def spoiled(value, draw):
    """Return a copy with one place, at any depth, replaced, left out, repeated or renamed."""
    if isinstance(value, (dict, list)) and value and draw.random() < 0.9:
        value = copy.copy(value)
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = draw.choice(keys)
        action = draw.random()
        if action < 0.1:
            del value[key]
        elif action < 0.2 and isinstance(value, list):
            value.append(value[key])
        elif action < 0.2:
            value[str(key) + "s"] = value.pop(key)
        else:
            value[key] = spoiled(value[key], draw)
        return value
    return draw.choice(JUNK)


def assert_sound(report, images, boxes):
    """Assert that the account adds up, and that what is left can be trained on."""
    assert report.num_images == len(images)
    assert report.num_images_read == report.num_images + report.num_images_dropped
    assert report.num_boxes == len(boxes)
    assert report.num_boxes_read == report.num_boxes + report.num_boxes_dropped
    assert {problem.kind for problem in report.problems} <= set(PROBLEM_KINDS)
    limits = images["size"][boxes["image_row"]][:, [1, 0, 1, 0]]
    corners = boxes["corners"].astype(np.float32)
    assert np.isfinite(corners).all()
    assert (corners[:, 2:] > corners[:, :2]).all()
    assert ((corners >= 0) & (corners <= limits)).all()
    assert np.isfinite(boxes["area"].astype(np.float32)).all()
    assert ((boxes["area"] >= 0) & (boxes["area"] <= limits[:, 2] * limits[:, 3])).all()
    assert str(report)


def load_or_refuse(images_dir, annotations, masks=False):
    """Return the report, or None where the error is one of ours."""
    try:
        return load_coco_json(images_dir, annotations, masks=masks).report
    except (ValueError, FileNotFoundError) as error:
        assert any(message in str(error) for message in MESSAGES), error
        return None


def test_spoiled_structures(images_dir, tables):
    draw = random.Random(0)
    num_loaded, kinds = 0, set()
    for _ in range(NUM_CASES):
        content = drawn_content(draw)
        for _ in range(draw.choice((1, 1, 2, 5))):
            content = spoiled(content, draw)
        masks = draw.random() < 0.5
        report = load_or_refuse(images_dir, content, masks)
        if report is not None:
            images, boxes = tables.pop()
            assert_sound(report, images, boxes)
            kind_of_mask = bytes if masks else type(None)
            assert all(isinstance(mask, kind_of_mask) for mask in boxes["segmentation"])
            assert report.num_boxes_read == len(content["annotations"])
            num_loaded += 1
            kinds |= set(report.counts)
    # Both ways are well trodden, and so is every problem that COCO-JSON can have.
    assert NUM_CASES / 5 < num_loaded < NUM_CASES * 0.9
    others = {"rotated_image", "turned_boxes", "exif_orientation"}
    others |= {"unreadable_annotation", "no_annotation", "polygon", "pose", "no_fractions"}
    others |= {"group_category", "corners"}
    assert kinds == set(PROBLEM_KINDS) - others


def test_spoiled_text(images_dir, tables, tmp_path):
    draw = random.Random(1)
    path = tmp_path / "annotations.json"
    num_loaded = 0
    for _ in range(400):
        text = bytearray(json.dumps(drawn_content(draw)).encode())
        if draw.random() < 0.4:
            del text[draw.randrange(len(text)) :]
        for _ in range(draw.randrange(4)):
            if text:
                text[draw.randrange(len(text))] = draw.randrange(256)
        path.write_bytes(text)
        report = load_or_refuse(images_dir, path)
        if report is not None:
            assert_sound(report, *tables.pop())
            num_loaded += 1
    assert 20 < num_loaded < 380


def test_box_arrays(images_dir, tables):
    rng = np.random.default_rng(2)
    values = [0, -0.0, 1, 31.999, 32, 32.001, 24, -5, 1e-30, 1e30, -1e30, 1e308, np.nan, np.inf]
    content = drawn_content(random.Random(2))
    for _ in range(20):
        boxes = rng.choice([*values, -np.inf], (100, 4))
        is_drawn = rng.random((100, 4)) < 0.6
        boxes = np.where(is_drawn, rng.uniform(-5, 25, (100, 4)), boxes)
        content["annotations"] = [
            {"image_id": int(rng.integers(3)), "category_id": 3, "bbox": box.tolist()}
            for box in boxes
        ]
        report = load_or_refuse(images_dir, content)
        images, kept = tables.pop()
        assert_sound(report, images, kept)
        assert report.num_boxes_read == 100
        # An oracle for each box alone.
        assert report.num_boxes == sum(is_usable(*box) for box in boxes.tolist())


def is_usable(x, y, width, height):
    if not all(np.isfinite([x, y, x + width, y + height])):
        return False
    seen_width = min(max(x + width, 0), WIDTH) - min(max(x, 0), WIDTH)
    seen_height = min(max(y + height, 0), HEIGHT) - min(max(y, 0), HEIGHT)
    return min((x + width) - x, (y + height) - y, seen_width, seen_height) >= 0.01


def test_spoiled_data_still_reads_as_elements(images_dir):
    draw = random.Random(3)
    num_read = 0
    while num_read < 25:
        content = spoiled(drawn_content(draw), draw)
        try:
            dataset = coco_json.load_coco_json(images_dir, content, bounding_box_format="xyxy")
        except (ValueError, FileNotFoundError):
            continue
        elements = list(dataset.as_numpy_iterator())
        assert len(elements) == dataset.report.num_images
        counts = [len(element["bounding_boxes"]["boxes"]) for element in elements]
        assert sum(counts) == dataset.report.num_boxes
        num_read += 1
