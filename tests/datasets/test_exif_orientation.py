"""Boxes of painted rectangles in images with an EXIF tag, through every loader and `detect`."""

# ruff: noqa: E402
import logging

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from PIL import Image

from keras_detr.datasets import load_coco_json, load_voc, load_yolo
from keras_detr.inference.detection import detect
from keras_detr.inference.image_sources import find_images
from keras_detr.preprocessing.image_reading import read_image
from tests.exif_turns import STORED

HEIGHT, WIDTH = 40, 60
# In the displayed image: left, top, right, bottom.
BOX = (6, 4, 22, 12)
SUFFIXES = ("jpg", "png", "tif", "webp")


def displayed_pixels():
    pixels = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    left, top, right, bottom = BOX
    pixels[top:bottom, left:right] = 220
    return pixels


def painted_box(pixels):
    """Return the (left, top, right, bottom) of the bright rectangle."""
    rows, columns = np.nonzero(pixels.mean(-1) > 130)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def save(path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    pixels = np.ascontiguousarray(STORED[orientation](displayed_pixels()))
    settings = {"quality": 95} if path.suffix in (".jpg", ".webp") else {}
    Image.fromarray(pixels).save(path, exif=exif, **settings)


def annotated(orientation, frame):
    """Return the size and the box of an image as displayed, or as stored."""
    pixels = displayed_pixels()
    pixels = pixels if frame == "displayed" else STORED[orientation](pixels)
    return pixels.shape[:2], painted_box(pixels)


def coco_content(annotations):
    images, boxes = [], []
    for number, (name, size, (left, top, right, bottom)) in enumerate(annotations):
        sides = {} if size is None else {"height": size[0], "width": size[1]}
        images.append({"id": number, "file_name": name, **sides})
        bbox = [int(side) for side in (left, top, right - left, bottom - top)]
        boxes.append({"id": number, "image_id": number, "category_id": 1, "bbox": bbox})
    return {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "box"}]}


def load_as_coco(folder, annotations, **settings):
    return load_coco_json(folder / "images", coco_content(annotations), **settings)


def load_as_voc(folder, annotations, **settings):
    (folder / "Annotations").mkdir()
    (folder / "JPEGImages").symlink_to("images")
    for name, size, (left, top, right, bottom) in annotations:
        corners = {"xmin": left + 1, "ymin": top + 1, "xmax": right, "ymax": bottom}
        box = "".join(f"<{key}>{value}</{key}>" for key, value in corners.items())
        text = f"<object><name>box</name><bndbox>{box}</bndbox></object>"
        if size is not None:
            text += f"<size><height>{size[0]}</height><width>{size[1]}</width></size>"
        path = folder / "Annotations" / f"{name.rsplit('.')[0]}.xml"
        path.write_text(f"<annotation>{text}</annotation>")
    return load_voc(folder, shuffle_files=False, **settings)


def load_as_yolo(folder, annotations, *, frame, **settings):
    (folder / "labels").mkdir()
    (folder / "data.yaml").write_text("train: images\nnames: [box]")
    for name, _, (left, top, right, bottom) in annotations:
        height, width = annotated(int(name[0]), frame)[0]
        center = f"{(left + right) / 2 / width} {(top + bottom) / 2 / height}"
        text = f"0 {center} {(right - left) / width} {(bottom - top) / height}"
        (folder / "labels" / f"{name.rsplit('.')[0]}.txt").write_text(text)
    return load_yolo(folder, shuffle_files=False, **settings)


@pytest.fixture
def folder(tmp_path):
    """Write an image for each tag and kind of file."""
    (tmp_path / "images").mkdir()
    for name in names():
        save(tmp_path / "images" / name, int(name[0]))
    return tmp_path


def names():
    return [f"{orientation}_{suffix}.{suffix}" for orientation in STORED for suffix in SUFFIXES]


def assert_boxes_are_where_the_paint_is(dataset, orientations, exif):
    elements = list(dataset.as_numpy_iterator())
    found = [dataset.file_names[int(element["image_id"])] for element in elements]
    assert [name.rsplit("/", 1)[1] for name in found] == [
        name for name in names() if int(name[0]) in orientations
    ]
    for name, element in zip(found, elements, strict=True):
        pixels = element["images"]
        np.testing.assert_allclose(
            element["bounding_boxes"]["boxes"], [painted_box(pixels)], atol=1e-3, err_msg=name
        )
        np.testing.assert_array_equal(element["image_size"], pixels.shape[:2])
        assert (pixels.shape[:2] == (HEIGHT, WIDTH)) == (
            exif == "apply" or int(name.rsplit("/", 1)[1][0]) < 5
        )
        # JPEG's decoders may round apart.
        expected = read_image(name, exif=exif).astype(int)
        np.testing.assert_allclose(pixels, expected, atol=3)


def tags_of(report, kind):
    """Return the tags of the images that a kind of problem lists."""
    details = [problem.detail for problem in report.problems if problem.kind == kind]
    return {int(detail.split("/images/")[-1].split("/JPEGImages/")[-1][0]) for detail in details}


ON_THE_SIDE = {5, 6, 7, 8}
TURNED = {2, 3, 4} | ON_THE_SIDE


@pytest.mark.parametrize("load", [load_as_coco, load_as_voc])
@pytest.mark.parametrize("exif", ["apply", "ignore"])
@pytest.mark.parametrize("sizes", ["displayed", "stored", "missing"])
def test_boxes_in_pixels(folder, load, exif, sizes):
    frame = "displayed" if exif == "apply" else "stored"
    annotations = []
    for name in names():
        orientation = int(name[0])
        # Only a size that has its sides exchanged shows how boxes were annotated.
        is_told = sizes != "missing" and orientation in ON_THE_SIDE
        size, box = annotated(orientation, sizes if is_told else frame)
        annotations.append((name, None if sizes == "missing" else size, box))
    dataset = load(folder, annotations, bounding_box_format="xyxy", exif=exif)
    is_left_out = exif == "ignore" and sizes == "displayed"
    orientations = set(STORED) - (ON_THE_SIDE if is_left_out else set())
    assert_boxes_are_where_the_paint_is(dataset, orientations, exif)
    report = dataset.report
    certain = ON_THE_SIDE if sizes != "missing" and (exif == "apply" or is_left_out) else set()
    assert tags_of(report, "exif_orientation") == TURNED - certain
    assert tags_of(report, "turned_boxes") == (
        ON_THE_SIDE if exif == "apply" and sizes == "stored" else set()
    )
    assert tags_of(report, "rotated_image") == (ON_THE_SIDE if is_left_out else set())
    assert report.num_images_read == report.num_images + report.num_images_dropped
    assert report.num_boxes_read == report.num_boxes + report.num_boxes_dropped


@pytest.mark.parametrize("exif", ["apply", "ignore"])
def test_relative_boxes(folder, exif):
    frame = "displayed" if exif == "apply" else "stored"
    annotations = [(name, None, annotated(int(name[0]), frame)[1]) for name in names()]
    dataset = load_as_yolo(folder, annotations, frame=frame, bounding_box_format="xyxy", exif=exif)
    assert_boxes_are_where_the_paint_is(dataset, set(STORED), exif)
    assert tags_of(dataset.report, "exif_orientation") == TURNED
    assert f"taken as {frame}" in str(dataset.report)


class TestUncheckedFiles:
    def test_tags_are_found_when_images_are_read(self, folder, caplog):
        annotations = [(name, *annotated(int(name[0]), "displayed")) for name in names()]
        dataset = load_as_coco(folder, annotations, bounding_box_format="xyxy", is_checked=False)
        assert dataset.report.problems == []
        with caplog.at_level(logging.WARNING, "keras_detr"):
            for _ in range(2):
                assert_boxes_are_where_the_paint_is(dataset, set(STORED), "apply")
        assert dataset.report.counts == {"exif_orientation": len(TURNED) * len(SUFFIXES)}
        (record,) = caplog.records
        assert "the EXIF tag says orientation" in record.getMessage()

    def test_boxes_as_stored_are_an_error(self, folder):
        dataset = load_as_coco(folder, [("6_jpg.jpg", *annotated(6, "stored"))], is_checked=False)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"6_jpg\.jpg.*is_checked=True"):
            list(dataset)

    def test_tags_are_ignored_where_asked_for(self, folder):
        annotations = [(name, *annotated(int(name[0]), "stored")) for name in names()]
        dataset = load_as_coco(
            folder, annotations, bounding_box_format="xyxy", is_checked=False, exif="ignore"
        )
        assert_boxes_are_where_the_paint_is(dataset, set(STORED), "ignore")

    # TensorFlow finds the tag in the first header, and PIL in the second.
    @pytest.mark.parametrize("comments", [[5_000], [50_000, 60_000]])
    def test_a_tag_behind_comments_is_found(self, tmp_path, comments):
        added = b"".join(b"\xff\xfe" + (n + 2).to_bytes(2, "big") + bytes(n) for n in comments)
        self.assert_tag_is_found(tmp_path, "6.jpg", lambda data: data[:2] + added + data[2:])

    def test_a_tag_behind_the_pixels_is_found(self, tmp_path):
        def moved(data):
            place = data.index(b"eXIf") - 4
            stop = place + 12 + int.from_bytes(data[place : place + 4], "big")
            return data[:place] + data[stop:-12] + data[place:stop] + data[-12:]

        self.assert_tag_is_found(tmp_path, "6.png", moved)

    def assert_tag_is_found(self, folder, name, changed):
        (folder / "images").mkdir()
        path = folder / "images" / name
        save(path, 6)
        path.write_bytes(changed(path.read_bytes()))
        annotations = [(name, *annotated(6, "displayed"))]
        dataset = load_as_coco(folder, annotations, bounding_box_format="xyxy", is_checked=False)
        (element,) = dataset.as_numpy_iterator()
        assert painted_box(element["images"]) == BOX
        assert dataset.report.counts == {"exif_orientation": 1}


@pytest.mark.parametrize("broken_images", ["find", "skip"])
def test_broken_files_with_a_tag(folder, broken_images):
    path = folder / "images" / "6_jpg.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    annotations = [(name, *annotated(int(name[0]), "displayed")) for name in names()]
    dataset = load_as_coco(folder, annotations, broken_images=broken_images)
    assert len(list(dataset)) == len(annotations) - 1
    assert dataset.report.counts["unreadable_file"] == 1
    assert dataset.report.num_images == len(annotations) - 1


class TestDetect:
    class Model:
        """Returns the brightest place of each image as a box."""

        bounding_box_format, class_names = "xyxy", ["box"]

        def predict(self, images, **_):
            boxes = [[painted_box(image)] for image in images]
            ones = np.ones((len(images), 1))
            return {
                "boxes": boxes,
                "classes": ones * 0,
                "confidence": ones,
                "num_detections": ones[:, 0],
            }

    @pytest.mark.parametrize("exif", ["apply", "ignore"])
    def test_files_come_as_the_loaders_read_them(self, folder, exif):
        paths = [folder / "images" / name for name in names()]
        for source in (paths, [Image.open(path) for path in paths]):
            for found, name in zip(detect(self.Model(), source, exif=exif), names(), strict=True):
                size, box = annotated(int(name[0]), "displayed" if exif == "apply" else "stored")
                assert found.image_size == size, name
                np.testing.assert_array_equal(found.boxes, [box])

    def test_other_choices_are_refused(self, folder):
        for call in (
            lambda: detect(self.Model(), folder / "images", exif=True),
            lambda: load_as_coco(folder, [], exif="turn"),
            lambda: load_as_voc(folder, [], exif=None),
            lambda: load_as_yolo(folder, [], frame="stored", exif=False),
        ):
            with pytest.raises(ValueError, match="`exif` must be 'apply' or 'ignore'"):
                call()


def test_pictures_in_memory_are_turned_unless_told_otherwise(folder):
    with Image.open(folder / "images/6_png.png") as picture:
        assert find_images(picture)[0].shape[:2] == (HEIGHT, WIDTH)
        assert find_images([picture], exif="ignore")[0].shape[:2] == (WIDTH, HEIGHT)
