"""Masks of COCO-JSON: pycocotools is the oracle, and what can't be used is told."""

# ruff: noqa: E402
import copy
import json
import logging

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from PIL import Image
from pycocotools import mask as oracle
from pycocotools.coco import COCO

from keras_detr.datasets import load_coco_json, load_folder
from keras_detr.datasets.data_report import PROBLEM_KINDS
from tests.datasets.coco_mini import SPLITS, split_paths
from tests.datasets.folders_of_layouts import PARTS, WRITERS
from tests.exif_turns import STORED

HEIGHT, WIDTH = 20, 30
NAN = float("nan")
FIRST_ID = 90


@pytest.mark.realdata
# pycocotools itself isn't written for NumPy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("split", sorted(SPLITS))
def test_masks_of_coco_equal_those_of_pycocotools(split):
    images_dir, annotations = split_paths(split)
    dataset = load_coco_json(images_dir, annotations, masks=True)
    coco = COCO(annotations)
    num_crowds, num_masks = 0, 0
    for element in dataset.as_numpy_iterator():
        entries = coco.imgToAnns[int(element["image_id"])]
        entries = sorted(entries, key=lambda entry: entry["id"])
        masks = element["bounding_boxes"]["masks"]
        assert masks.dtype == bool
        assert masks.shape == (len(entries), *element["images"].shape[:2])
        for entry, mask in zip(entries, masks, strict=True):
            np.testing.assert_array_equal(mask, coco.annToMask(entry))
        num_crowds += int(element["bounding_boxes"]["is_crowd"].sum())
        num_masks += len(masks)
    assert num_masks == len(coco.anns) == dataset.report.num_boxes
    assert num_crowds > 0
    assert dataset.report.problems == []


def painted(*rectangles):
    """Return a mask of rectangles (left, top, right, bottom); the second is cut out, and so on."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for number, (left, top, right, bottom) in enumerate(rectangles):
        mask[top:bottom, left:right] = number % 2 == 0
    return mask


def compressed(mask):
    """Return COCO's compressed RLE, as JSON has it."""
    runs = oracle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(runs["size"]), "counts": runs["counts"].decode()}


def uncompressed(mask):
    """Return COCO's RLE with a list of counts, which begins outside of the object."""
    pixels = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(pixels.astype(int))) + 1
    counts = np.diff([0, *edges, pixels.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if pixels[0] else counts}


def polygon(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def content_of(*segmentations, **changes):
    """Return COCO-JSON of an image with a box for each segmentation; ... leaves a key out."""
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 25, 15], "iscrowd": 0}
    entries = [
        {**box, "id": FIRST_ID - number, "segmentation": value, **changes}
        for number, value in enumerate(segmentations)
    ]
    entries = [
        {key: value for key, value in entry.items() if value is not ...} for entry in entries
    ]
    image = {"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}
    categories = [{"id": 1, "name": "thing"}]
    return {"images": [image], "annotations": entries, "categories": categories}


@pytest.fixture
def images_dir(tmp_path):
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a.png")
    return tmp_path


def masks_of(dataset):
    (element,) = dataset.as_numpy_iterator()
    return element["bounding_boxes"]["masks"]


RECTANGLE, OTHER, HOLE = (3, 4, 20, 15), (22, 1, 28, 9), (6, 7, 12, 10)
SOUND = {
    "polygon": ([polygon(*RECTANGLE)], painted(RECTANGLE)),
    "array": ([np.array(polygon(*RECTANGLE))], painted(RECTANGLE)),
    "whole numbers as float": ([[float(x) for x in polygon(*RECTANGLE)]], painted(RECTANGLE)),
    "two polygons": (
        [polygon(*RECTANGLE), polygon(*OTHER)],
        painted(RECTANGLE) | painted(OTHER),
    ),
    "polygons that overlap": (
        [polygon(*RECTANGLE), polygon(*HOLE)],
        painted(RECTANGLE),
    ),
    "over the edge": ([polygon(-50, 4, 20, 99)], painted((0, 4, 20, HEIGHT))),
    "compressed": (compressed(painted(RECTANGLE)), painted(RECTANGLE)),
    "uncompressed": (uncompressed(painted(RECTANGLE)), painted(RECTANGLE)),
    "compressed, a hole": (compressed(painted(RECTANGLE, HOLE)), painted(RECTANGLE, HOLE)),
    "uncompressed, a hole": (uncompressed(painted(RECTANGLE, HOLE)), painted(RECTANGLE, HOLE)),
    "the whole image": (uncompressed(painted((0, 0, WIDTH, HEIGHT))), np.ones((HEIGHT, WIDTH))),
    "one pixel": (compressed(painted((0, 0, 1, 1))), painted((0, 0, 1, 1))),
}


@pytest.mark.parametrize("is_crowd", [0, 1])
def test_every_form_of_a_mask(images_dir, is_crowd):
    content = content_of(*(segmentation for segmentation, _ in SOUND.values()), iscrowd=is_crowd)
    dataset = load_coco_json(images_dir, content, masks=True)
    assert dataset.report.problems == []
    # Annotations are in the order of their ids, the last one first.
    for name, mask in zip(SOUND, masks_of(dataset)[::-1], strict=True):
        np.testing.assert_array_equal(mask, SOUND[name][1], err_msg=name)


# What stands in the place of "segmentation", and the kind of problem it is counted as.
BROKEN = {
    "missing": (..., "no_mask"),
    "null": (None, "no_mask"),
    "no polygon": ([], "no_mask"),
    "polygon of nothing": ([[]], "no_mask"),
    "empty dict": ({}, "no_mask"),
    "empty text": ("", "no_mask"),
    "number": (5, "malformed_mask"),
    "text": ("polygon", "malformed_mask"),
    "true": (True, "malformed_mask"),
    "flat list": (polygon(*RECTANGLE), "malformed_mask"),
    "pairs": ([[3, 4], [20, 4], [20, 15]], "malformed_mask"),
    "two points": ([[3, 4, 20, 15]], "malformed_mask"),
    "odd number": ([[*polygon(*RECTANGLE), 3]], "malformed_mask"),
    "second polygon is empty": ([polygon(*RECTANGLE), []], "malformed_mask"),
    "second polygon of two points": ([polygon(*RECTANGLE), [3, 4, 9, 9]], "malformed_mask"),
    "NaN": ([[3, 4, NAN, 4, 20, 15]], "malformed_mask"),
    "infinity": ([[3, 4, float("inf"), 4, 20, 15]], "malformed_mask"),
    "coordinates as text": ([["3", "4", "20", "4", "20", "15"]], "malformed_mask"),
    "lists of lists": ([[[3, 4], [20, 4], [20, 15]]], "malformed_mask"),
    "huge int": ([[3, 4, 10**400, 4, 20, 15]], "malformed_mask"),
    "runaway": ([[3, 4, 1e12, 4, 20, 15]], "malformed_mask"),
    "no size": ({"counts": [600]}, "malformed_mask"),
    "size as text": ({"size": "20x30", "counts": [600]}, "malformed_mask"),
    "size of three": ({"size": [20, 30, 3], "counts": [600]}, "malformed_mask"),
    "no counts": ({"size": [HEIGHT, WIDTH]}, "malformed_mask"),
    "counts are a number": ({"size": [HEIGHT, WIDTH], "counts": 600}, "malformed_mask"),
    "counts are short": ({"size": [HEIGHT, WIDTH], "counts": [10, 5]}, "malformed_mask"),
    "counts are long": ({"size": [HEIGHT, WIDTH], "counts": [10, 5, 600]}, "malformed_mask"),
    "negative count": ({"size": [HEIGHT, WIDTH], "counts": [10, -5, 595]}, "malformed_mask"),
    "half a pixel": ({"size": [HEIGHT, WIDTH], "counts": [10.5, 589.5]}, "malformed_mask"),
    "counts with NaN": ({"size": [HEIGHT, WIDTH], "counts": [10, NAN, 590]}, "malformed_mask"),
    "huge counts": ({"size": [HEIGHT, WIDTH], "counts": [1e308, 1e308]}, "malformed_mask"),
    "empty counts": ({"size": [HEIGHT, WIDTH], "counts": ""}, "malformed_mask"),
    "counts of no form": ({"size": [HEIGHT, WIDTH], "counts": "\x7f!!zz"}, "malformed_mask"),
    "counts without end": ({"size": [HEIGHT, WIDTH], "counts": "o" * 100}, "malformed_mask"),
    "counts in other letters": ({"size": [HEIGHT, WIDTH], "counts": "\u0663"}, "malformed_mask"),
    "counts cut off": (
        {"size": [HEIGHT, WIDTH], "counts": compressed(painted(RECTANGLE))["counts"][:-2]},
        "malformed_mask",
    ),
    "other size": (compressed(painted(RECTANGLE).T), "mask_of_other_size"),
    "other size, uncompressed": (uncompressed(painted(RECTANGLE)[:-1]), "mask_of_other_size"),
    "size of a city": ({"size": [10**9, 10**9], "counts": [10**18]}, "mask_of_other_size"),
    "negative size": ({"size": [-20, -30], "counts": [600]}, "mask_of_other_size"),
    "no pixel": (compressed(painted()), "empty_mask"),
    "no pixel, uncompressed": (uncompressed(painted()), "empty_mask"),
    "polygon of no area": ([[3, 4, 3, 4, 3, 4]], "empty_mask"),
    "outside": ([polygon(40, 4, 50, 15)], "empty_mask"),
}


def test_masks_that_cannot_be_used_are_counted(images_dir, caplog):
    broken = [segmentation for segmentation, _ in BROKEN.values()]
    content = content_of([polygon(*OTHER)], *broken, uncompressed(painted(RECTANGLE)))
    unchanged = copy.deepcopy(content)
    dataset = load_coco_json(images_dir, content, masks=True)
    report = dataset.report
    found = {problem.annotation_id: problem.kind for problem in report.problems}
    kinds = (kind for _, kind in BROKEN.values())
    expected = dict(zip(range(FIRST_ID - 1, 0, -1), kinds, strict=False))
    for name, (number, kind) in zip(BROKEN, expected.items(), strict=True):
        assert found.pop(number, None) == kind, name
    assert not found
    assert {PROBLEM_KINDS[kind][1] for kind in report.counts} == {"box"}
    assert (report.num_boxes, report.num_boxes_dropped) == (2, len(BROKEN))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for kind in ("no_mask", "malformed_mask", "mask_of_other_size", "empty_mask"):
        assert f"({kind})" in record.getMessage()
    np.testing.assert_array_equal(masks_of(dataset), [painted(RECTANGLE), painted(OTHER)])
    np.testing.assert_equal(content, unchanged)
    # Without masks nothing is wrong about it.
    assert load_coco_json(images_dir, content).report.problems == []


class TestRows:
    def test_masks_stay_with_their_boxes(self, images_dir):
        shapes = [(x, 2, x + 4, 12) for x in range(0, 24, 4)]
        forms = (lambda s: [polygon(*s)], lambda s: compressed(painted(s)))
        content = content_of(*(forms[i % 2](shape) for i, shape in enumerate(shapes)))
        for entry, (left, top, right, bottom) in zip(content["annotations"], shapes, strict=True):
            entry["bbox"] = [left, top, right - left, bottom - top]
        content["annotations"][1]["iscrowd"] = 1
        content["annotations"][2]["bbox"] = [8, 2, 0, 10]
        content["annotations"][4]["segmentation"] = None
        dataset = load_coco_json(
            images_dir, content, masks=True, crowds="drop", bounding_box_format="xyxy"
        )
        report = dataset.report
        assert report.counts == {"no_area_box": 1, "no_mask": 1}
        assert (report.num_crowds_left_out, report.num_boxes, report.num_boxes_read) == (1, 3, 6)
        (element,) = dataset.as_numpy_iterator()
        boxes = element["bounding_boxes"]
        assert {len(rows) for rows in boxes.values()} == {3}
        for box, mask in zip(boxes["boxes"].astype(int), boxes["masks"], strict=True):
            np.testing.assert_array_equal(mask, painted(box))

    def test_no_boxes(self, images_dir):
        dataset = load_coco_json(images_dir, content_of(), masks=True)
        assert masks_of(dataset).shape == (0, HEIGHT, WIDTH)
        assert masks_of(dataset).dtype == bool

    def test_only_where_asked_for(self, images_dir):
        dataset = load_coco_json(images_dir, content_of([polygon(*RECTANGLE)]))
        assert "masks" not in dataset.element_spec["bounding_boxes"]
        dataset = load_coco_json(images_dir, content_of([polygon(*RECTANGLE)]), masks=True)
        spec = dataset.element_spec["bounding_boxes"]["masks"]
        assert (spec.shape.rank, spec.dtype) == (3, tf.bool)

    def test_no_mask_at_all_is_an_error(self, images_dir):
        with pytest.raises(
            ValueError, match=r"None has a mask .'segmentation'.: load them without masks"
        ):
            load_coco_json(images_dir, content_of(None, []), masks=True)

    def test_an_image_of_another_size_than_its_masks(self, images_dir):
        Image.new("RGB", (WIDTH + 2, HEIGHT)).save(images_dir / "a.png")
        content = content_of([polygon(*RECTANGLE)], compressed(painted(RECTANGLE)))
        dataset = load_coco_json(images_dir, content, masks=True)
        assert dataset.report.counts == {"mask_of_other_size": 1, "wrong_size": 1}
        assert masks_of(dataset).shape == (1, HEIGHT, WIDTH + 2)


def save_stored(path, orientation, mask):
    """Write an image that displays a mask, bright on the object, stored as a tag says."""
    exif = Image.Exif()
    exif[274] = orientation
    pixels = np.ascontiguousarray(STORED[orientation](mask)).astype(np.uint8) * 200
    Image.fromarray(pixels).save(path, exif=exif)


@pytest.mark.parametrize(
    ("frame", "exif", "is_checked"),
    [
        ("displayed", "apply", True),
        ("displayed", "apply", False),
        ("stored", "apply", True),
        ("stored", "ignore", True),
        ("stored", "ignore", False),
    ],
)
def test_masks_turn_with_their_images(tmp_path, frame, exif, is_checked):
    displayed = painted((3, 4, 20, 9)) | painted((3, 4, 8, 15))
    # Only exchanged sides show that masks are annotated as stored.
    orientations = [5, 6, 7, 8] if (frame, exif) == ("stored", "apply") else list(STORED)
    content = content_of()
    content["images"] = []
    for orientation in orientations:
        name = f"{orientation}.png"
        save_stored(tmp_path / name, orientation, displayed)
        mask = displayed if frame == "displayed" else STORED[orientation](displayed)
        rows, columns = np.nonzero(mask)
        left, top, right, bottom = (
            int(side) for side in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        )
        around = [polygon(left, top, right, bottom)]
        box = [left, top, right - left, bottom - top]
        of_image = content_of(
            around, compressed(mask), uncompressed(mask), bbox=box, image_id=orientation
        )
        content["annotations"] += of_image["annotations"]
        height, width = mask.shape
        content["images"].append(
            {"id": orientation, "file_name": name, "height": height, "width": width}
        )
    for number, entry in enumerate(content["annotations"]):
        entry["id"] = number
    dataset = load_coco_json(tmp_path, content, masks=True, exif=exif, is_checked=is_checked)
    assert dataset.report.num_boxes == 3 * len(orientations)
    is_turned = (frame, exif) == ("stored", "apply")
    assert dataset.report.counts.get("turned_boxes", 0) == (4 if is_turned else 0)
    for element in dataset.as_numpy_iterator():
        object_pixels = element["images"][..., 0] > 100
        around, *runs = element["bounding_boxes"]["masks"]
        np.testing.assert_array_equal(runs, [object_pixels] * 2)
        left, top, right, bottom = element["bounding_boxes"]["boxes"][0].astype(int)
        expected = np.zeros_like(object_pixels)
        expected[top:bottom, left:right] = True
        np.testing.assert_array_equal(around, expected)


def write_with_masks(folder):
    """Write COCO-JSON whose masks are the boxes."""
    WRITERS["coco"](folder)
    for path in folder.glob("*/*.json"):
        content = json.loads(path.read_text())
        for entry in content["annotations"]:
            left, top, width, height = entry["bbox"]
            entry["segmentation"] = [polygon(left, top, left + width, top + height)]
        path.write_text(json.dumps(content))


class TestFolders:
    @pytest.mark.parametrize("settings", [{}, {"classes": ["dog"]}, {"hold_out": 0.4}])
    def test_masks_are_passed_on(self, tmp_path, settings):
        write_with_masks(tmp_path)
        if "hold_out" in settings:
            (tmp_path / "valid" / "_annotations.coco.json").unlink()
        data = load_folder(tmp_path, masks=True, bounding_box_format="xyxy", **settings)
        num_masks = 0
        for dataset in (data.train, data.valid, data.test):
            for element in dataset.as_numpy_iterator():
                boxes = element["bounding_boxes"]
                for box, mask in zip(boxes["boxes"].astype(int), boxes["masks"], strict=True):
                    left, top, right, bottom = box
                    assert mask[top:bottom, left:right].all()
                    assert mask.sum() == (right - left) * (bottom - top)
                    num_masks += 1
        reports = [dataset.report for dataset in (data.train, data.valid, data.test)]
        assert num_masks == sum(report.num_boxes for report in reports) > 0

    @pytest.mark.parametrize("layout", ["yolo", "voc"])
    def test_layouts_without_masks_say_so(self, tmp_path, layout):
        WRITERS[layout](tmp_path, {"train": PARTS["train"]})
        with pytest.raises(ValueError, match=f"`masks` must be False .* {layout!r}.*COCO-JSON"):
            load_folder(tmp_path, masks=True)
