# ruff: noqa: E402
import logging
import os
import random
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from keras_detr.datasets import load_coco_json, load_voc, records_dataset
from keras_detr.datasets.data_report import PROBLEM_KINDS

SIZES = {"a": (40, 60), "b": (50, 20), "c": (30, 30), "d": (16, 24)}
OBJECTS = {
    "a": [("dog", 0, (11, 6, 30, 25)), ("cat", 1, (1, 1, 60, 40))],
    "b": [],
    "c": [("dog", 0, (7, 7, 7, 7))],
    "d": [("ant", 0, (2, 2, 9, 9))],
}
CLASSES = ["ant", "cat", "dog"]


def object_xml(name="dog", difficult=0, corners=(5, 5, 20, 20)):
    sides = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    box = "".join(f"<{side}>{corner}</{side}>" for side, corner in sides)
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    return (
        f"<object>{part}<name>{name}</name><pose>Left</pose><difficult>{difficult}</difficult>"
        f"<bndbox>{box}</bndbox></object>"
    )


def annotation_xml(size, objects=""):
    return (
        f"<annotation>\n<filename>any.jpg</filename><size><width>{size[1]}</width>"
        f"<height>{size[0]}</height><depth>3</depth></size>{objects}</annotation>\n"
    )


@pytest.fixture
def folder(tmp_path):
    """Write the images a, b and c of "trainval" and d of "test", 40x60 to 16x24 pixels."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    for name, (height, width) in SIZES.items():
        Image.new("RGB", (width, height)).save(tmp_path / "JPEGImages" / f"{name}.jpg")
        objects = "".join(object_xml(*entry) for entry in OBJECTS[name])
        write_annotation(tmp_path, name, annotation_xml(SIZES[name], objects))
    write_split(tmp_path, "trainval", "a\nb\n\nc\n")
    write_split(tmp_path, "test", "d\n")
    return tmp_path


def write_annotation(folder, name, text):
    content = text if isinstance(text, bytes) else text.encode()
    (folder / "Annotations" / f"{name}.xml").write_bytes(content)


def write_split(folder, name, text):
    (folder / "ImageSets" / "Main" / f"{name}.txt").write_text(text, encoding="utf-8")


def assert_account_adds_up(report):
    assert report.num_images_read == report.num_images + report.num_images_dropped
    left = report.num_boxes + report.num_boxes_dropped + report.num_crowds_left_out
    assert report.num_boxes_read == left
    assert {problem.kind for problem in report.problems} <= set(PROBLEM_KINDS)
    assert str(report)


def test_images_and_boxes(folder, caplog):
    dataset = load_voc(folder, bounding_box_format="xyxy", shuffle_files=False)
    # Of all splits, so that training and test number their classes alike.
    assert dataset.class_names == CLASSES == load_voc(folder, "test").class_names
    elements = list(dataset.as_numpy_iterator())
    assert [element["images"].shape[:2] for element in elements] == [SIZES[name] for name in "abc"]
    assert [int(element["image_id"]) for element in elements] == [0, 1, 2]
    rows = [element["bounding_boxes"] for element in elements]
    # VOC's first pixel is 1, and the last one belongs to the box: 20 pixels are 20 wide.
    np.testing.assert_array_equal(rows[0]["boxes"], [[10, 5, 30, 25], [0, 0, 60, 40]])
    np.testing.assert_array_equal(rows[0]["classes"], [2, 1])
    np.testing.assert_array_equal(rows[0]["area"], [400, 2400])
    np.testing.assert_array_equal(rows[0]["is_crowd"], [False, True])
    assert rows[1]["boxes"].shape == (0, 4)
    np.testing.assert_array_equal(rows[2]["boxes"], [[6, 6, 7, 7]])
    assert dataset.file_names[2].endswith("c.jpg")
    assert dataset.report.problems == []
    assert (dataset.report.num_empty_images, dataset.report.most_boxes) == (1, 2)
    assert caplog.records == []
    assert_account_adds_up(dataset.report)


def test_elements_are_those_of_the_same_data_as_coco_json(folder):
    voc = load_voc(folder, shuffle_files=False)
    boxes = [
        {"image_id": index, "category_id": category, "bbox": box, "iscrowd": crowd}
        for index, category, box, crowd in (
            (0, 2, [10, 5, 20, 20], 0),
            (0, 1, [0, 0, 60, 40], 1),
            (2, 2, [6, 6, 1, 1], 0),
        )
    ]
    content = {
        "images": [{"id": i, "file_name": f"{name}.jpg"} for i, name in enumerate("abc")],
        "annotations": boxes,
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES)],
    }
    coco = load_coco_json(folder / "JPEGImages", content)
    assert voc.element_spec == coco.element_spec
    assert voc.class_names == coco.class_names
    for ours, theirs in zip(voc.as_numpy_iterator(), coco.as_numpy_iterator(), strict=True):
        for key in ("images", "image_id", "image_size"):
            np.testing.assert_array_equal(ours[key], theirs[key])
        for key, rows in theirs["bounding_boxes"].items():
            np.testing.assert_array_equal(ours["bounding_boxes"][key], rows)


def test_difficult_objects_are_left_out_when_asked_for(folder):
    dataset = load_voc(folder, difficult="drop")
    assert dataset.report.num_crowds_left_out == 1
    assert dataset.report.num_boxes == 2
    assert not any(e["bounding_boxes"]["is_crowd"].any() for e in dataset.as_numpy_iterator())
    assert_account_adds_up(dataset.report)


def test_classes_in_an_order_of_ones_own(folder):
    dataset = load_voc(folder, class_names=("dog", "cow"))
    assert dataset.class_names == ["dog", "cow"]
    assert dataset.report.counts == {"unknown_category": 1}
    assert "a.xml, object 2: 'cat'" in str(dataset.report)
    assert [e["bounding_boxes"]["classes"].tolist() for e in dataset.as_numpy_iterator()] == [
        [0],
        [],
        [0],
    ]


@pytest.mark.parametrize(
    ("entry", "kind", "is_kept"),
    [
        (object_xml(corners=("5.5", " 6 ", "1e1", "9.25")), None, True),
        (object_xml(corners=(0, 0, 30, 30)), "clipped_box", True),
        (object_xml(corners=(5, 5, 20, 99)), "clipped_box", True),
        (object_xml(name=" dog\n"), None, True),
        (object_xml().replace("<difficult>0</difficult>", ""), None, True),
        (object_xml().replace("<name>dog</name>", ""), "malformed_annotation", False),
        (object_xml(name=""), "malformed_annotation", False),
        (object_xml(difficult="maybe"), "malformed_annotation", False),
        (object_xml().replace("bndbox", "robndbox"), "malformed_box", False),
        (object_xml().replace("<ymax>20</ymax>", ""), "malformed_box", False),
        (object_xml(corners=(5, "five", 20, 20)), "malformed_box", False),
        (object_xml(corners=(5, 5, 4, 20)), "no_area_box", False),
        (object_xml(corners=(20, 5, 5, 20)), "no_area_box", False),
        (object_xml(corners=(50, 50, 60, 60)), "outside_box", False),
        (object_xml(corners=(5, "nan", 20, 20)), "non_finite_box", False),
        (object_xml(corners=(5, 5, "1e400", 20)), "non_finite_box", False),
    ],
)
def test_odd_objects_are_counted(folder, entry, kind, is_kept):
    write_annotation(folder, "c", annotation_xml(SIZES["c"], entry))
    report = load_voc(folder).report
    assert report.counts == ({kind: 1} if kind else {})
    assert report.num_boxes_read == 3
    assert report.num_boxes == 2 + is_kept
    assert_account_adds_up(report)


MANY_ENTITIES = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 20))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no markup",
        "<annotation>",
        "<html><object/></html>",
        b"\xff\xfe\x00",
        b'<?xml version="1.0" encoding="nothing"?><annotation/>',
        "<annotation>&undeclared;</annotation>",
        # A few hundred bytes that would expand to many terabytes.
        f'<!DOCTYPE a [<!ENTITY e0 "ha">{MANY_ENTITIES}]><annotation>&e19;</annotation>',
        '<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]><annotation>&f;</annotation>',
        '<!DOCTYPE annotation SYSTEM "http://127.0.0.1/voc.dtd"><annotation/>',
    ],
)
def test_files_that_cannot_be_read_are_left_out(folder, content):
    write_annotation(folder, "c", content)
    report = load_voc(folder).report
    assert report.counts == {"unreadable_annotation": 1}
    assert report.num_images == 2
    assert "c.xml" in str(report)
    assert_account_adds_up(report)


def test_other_encodings_and_depths(folder):
    text = annotation_xml(SIZES["c"], object_xml(name="chèvre"))
    write_annotation(
        folder, "c", f'<?xml version="1.0" encoding="latin-1"?>{text}'.encode("latin-1")
    )
    write_annotation(folder, "d", annotation_xml(SIZES["d"], "<a>" * 50_000 + "</a>" * 50_000))
    assert load_voc(folder).class_names == ["cat", "chèvre", "dog"]
    assert load_voc(folder).report.problems == []
    assert load_voc(folder, "test").report.problems == []


def test_what_is_missing_is_listed(folder):
    (folder / "Annotations" / "b.xml").unlink()
    (folder / "JPEGImages" / "c.jpg").unlink()
    write_split(folder, "trainval", "a\nb\nc\nb\nnowhere\n")
    report = load_voc(folder).report
    assert report.counts == {
        "duplicate_image": 1,
        "missing_file": 2,
        "no_annotation": 1,
        "box_of_dropped_image": 1,
    }
    assert report.num_images == 2
    assert_account_adds_up(report)


@pytest.mark.parametrize("listed", ["A", "a.jpg", "JPEGImages/a", "images\\a"])
def test_a_missing_image_names_the_one_that_is_meant(folder, listed):
    write_split(folder, "trainval", f"{listed}\nb\n")
    report = load_voc(folder).report
    assert report.counts == {"missing_file": 1}
    assert report.problems[0].detail.endswith(f", but there is {folder / 'JPEGImages/a.jpg'}")


def test_images_of_other_kinds_and_in_folders(folder):
    (folder / "JPEGImages" / "c.jpg").unlink()
    (folder / "JPEGImages" / "notes.txt").write_text("no image")
    (folder / "JPEGImages" / "deep").mkdir()
    (folder / "Annotations" / "deep").mkdir()
    Image.new("RGB", (30, 30)).save(folder / "JPEGImages" / "c.PNG")
    Image.new("RGB", (30, 30)).save(folder / "JPEGImages" / "deep" / "e.jpeg")
    write_annotation(folder, "deep/e", annotation_xml((30, 30), object_xml(name="emu")))
    write_split(folder, "trainval", "\ufeffc\r\ndeep/e\r\n")
    dataset = load_voc(folder)
    assert dataset.report.problems == []
    assert dataset.report.num_boxes == 2
    assert dataset.class_names == ["ant", "cat", "dog", "emu"]
    assert [path.rsplit("/", 1)[1] for path in dataset.file_names.values()] == ["c.PNG", "e.jpeg"]


@pytest.mark.parametrize(
    ("size", "is_listed"), [((30, 31), True), (("x", 30), True), ((0, 0), True), (("", ""), False)]
)
def test_the_size_of_the_file_counts(folder, size, is_listed):
    write_annotation(folder, "c", annotation_xml(size, object_xml(corners=(1, 1, 30, 30))))
    dataset = load_voc(folder, shuffle_files=False)
    assert dataset.report.counts == ({"wrong_size": 1} if is_listed else {})
    rows = list(dataset.as_numpy_iterator())[2]["bounding_boxes"]
    np.testing.assert_array_equal(rows["boxes"], [[0, 0, 30, 30]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"difficult": "ignore"}, "`difficult` must be 'drop' or 'keep'"),
        ({"bounding_box_format": "voc"}, "`bounding_box_format`"),
        ({"split": None}, "`split` must be the name"),
        ({"class_names": "dog"}, "`class_names` must be a list"),
        ({"class_names": []}, "`class_names` must be a list"),
        ({"class_names": ["dog", "dog"]}, "`class_names` must be a list"),
        ({"class_names": ["dog", 1]}, "`class_names` must be a list"),
        ({"class_names": ["emu"]}, "No box can be used"),
    ],
)
def test_wrong_arguments_are_refused(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        load_voc(folder, **arguments)


def test_what_is_not_there(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`split`.*dev\.txt.*\['test', 'trainval'\]"):
        load_voc(folder, "dev")
    write_split(folder, "none", "\n")
    with pytest.raises(ValueError, match="No image can be used"):
        load_voc(folder, "none")
    (folder / "ImageSets/Main/bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="can't be read as text"):
        load_voc(folder, "bytes")
    for name in ("a", "c", "d"):
        write_annotation(folder, name, annotation_xml(SIZES[name]))
    with pytest.raises(ValueError, match="names an object"):
        load_voc(folder)
    (folder / "Annotations").rename(folder / "labels")
    with pytest.raises(
        FileNotFoundError, match=r"XML files in one of .*'Annotations'.*Found the .*'labels'"
    ):
        load_voc(folder)
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_voc(tmp_path / "nowhere")


def test_files_without_end_are_refused(folder):
    path = folder / "Annotations" / "a.xml"
    path.unlink()
    path.symlink_to("/dev/zero")
    report = load_voc(folder).report
    assert report.counts == {"unreadable_annotation": 1}
    assert "and is a device" in str(report)
    os.mkfifo(folder / "ImageSets/Main/pipe.txt")
    with pytest.raises(ValueError, match=r"`split`.*pipe\.txt' .* and is a named pipe"):
        load_voc(folder, "pipe")


JUNK = (
    "",
    "0",
    "-1",
    "7",
    "nan",
    "inf",
    "1e999",
    "0x1",
    "x",
    "é",
    "<",
    "&",
    "&amp;",
    "]]>",
    "\x00",
)


def spoiled(text, draw):
    """Return bytes of an annotation with one thing wrong in it, or two."""
    if draw.random() < 0.5:
        root = ElementTree.fromstring(text)
        elements = list(root.iter())
        chosen, other = draw.choice(elements), draw.choice(elements)
        action = draw.randrange(4)
        if action == 0:
            chosen.text = draw.choice([word for word in JUNK if word.isalnum() or not word])
        elif action == 1:
            chosen.tag = draw.choice(["object", "name", "bndbox", "xmin", "other", "annotation"])
        elif action == 2:
            chosen.append(ElementTree.fromstring(object_xml(draw.choice(JUNK[:7]))))
        elif other in list(chosen):
            chosen.remove(other)
        return ElementTree.tostring(root)
    content = bytearray(text.encode())
    place = draw.randrange(len(content))
    action = draw.randrange(4)
    if action == 0:
        del content[place:]
    elif action == 1:
        content[place] = draw.randrange(256)
    elif action == 2:
        content[place:place] = draw.choice(JUNK).encode()
    else:
        del content[place : place + draw.randrange(40)]
    return bytes(content)


def test_spoiled_files_never_crash(folder, monkeypatch):
    monkeypatch.setattr(logging.getLogger("keras_detr"), "disabled", True)
    # tf.data needs most of the time.
    monkeypatch.setattr(records_dataset, "_elements", lambda *tables: tf.data.Dataset.range(0))
    draw = random.Random(0)
    names = [f"n{index}" for index in range(20)]
    for name in names:
        Image.new("RGB", (30, 30)).save(folder / "JPEGImages" / f"{name}.jpg")
    write_split(folder, "spoiled", "\n".join(["a", *names]))
    kinds = set()
    for _ in range(25):
        for name in names:
            objects = "".join(
                object_xml(corners=[draw.randint(-5, 35) for _ in range(4)]) for _ in range(3)
            )
            write_annotation(folder, name, spoiled(annotation_xml((30, 30), objects), draw))
        report = load_voc(folder, "spoiled").report
        assert_account_adds_up(report)
        assert report.num_images_read == 21
        assert report.num_boxes >= 2
        kinds |= set(report.counts)
    assert {"unreadable_annotation", "malformed_annotation", "malformed_box"} <= kinds
    assert {"wrong_size", "no_area_box", "outside_box", "clipped_box"} <= kinds


def test_without_lists_all_annotations_are_taken(folder):
    shutil.rmtree(folder / "ImageSets")
    (folder / "JPEGImages/deep").mkdir()
    (folder / "Annotations/deep").mkdir()
    Image.new("RGB", (20, 30)).save(folder / "JPEGImages/deep/e.jpg")
    write_annotation(folder, "deep/e", annotation_xml((30, 20), object_xml("cat")))
    Image.new("RGB", (20, 30)).save(folder / "JPEGImages/deep/f.PNG")
    write_annotation(folder, "g", annotation_xml((30, 20), object_xml("cat")))
    dataset = load_voc(folder)
    names = [os.path.basename(name) for name in dataset.file_names.values()]
    assert names == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.PNG"]
    report = dataset.report
    assert report.num_boxes == 5
    assert report.counts == {"missing_file": 1, "no_annotation": 1, "box_of_dropped_image": 1}
    assert "deep/f.xml" in str(report)
    assert_account_adds_up(report)
    with pytest.raises(FileNotFoundError, match="Without a folder ImageSets"):
        load_voc(folder, "val")


def test_relative_boxes_are_refused(folder):
    for name, corners in (("a", (0.1, 0.2, 0.6, 0.7)), ("c", (0, 0, 1, 1))):
        write_annotation(folder, name, annotation_xml(SIZES[name], object_xml(corners=corners)))
    message = r"trainval\.txt: boxes must be in pixels.* lie in 0..1.*0\.6, 0\.7\).*a\.jpg"
    with pytest.raises(ValueError, match=message):
        load_voc(folder)
    write_annotation(folder, "c", annotation_xml(SIZES["c"], object_xml()))
    assert load_voc(folder).report.counts == {"tiny_box": 1, "clipped_box": 1}


@pytest.mark.parametrize("annotations", ["annotations", "annotations/xmls"])
def test_folders_of_other_names(folder, annotations):
    expected = load_voc(folder, shuffle_files=False)
    elements = list(expected.as_numpy_iterator())
    (folder / "JPEGImages").rename(folder / "images")
    (folder / annotations).parent.mkdir(exist_ok=True)
    (folder / "Annotations").rename(folder / annotations)
    found = load_voc(folder, shuffle_files=False)
    assert found.class_names == expected.class_names
    assert found.report.counts == expected.report.counts
    for element, other in zip(found.as_numpy_iterator(), elements, strict=True):
        np.testing.assert_array_equal(element["images"], other["images"])
        np.testing.assert_array_equal(
            element["bounding_boxes"]["boxes"], other["bounding_boxes"]["boxes"]
        )
