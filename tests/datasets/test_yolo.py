import os
import random

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from keras_detr.datasets import load_yolo

SIZES = {"a.jpg": (40, 60), "b.png": (50, 20), "c.jpg": (30, 30), "deep/d.jpg": (16, 24)}
LABELS = {"a": "1 0.5 0.5 0.5 0.25\n\n0 0.25 0.5 0.1 0.2\n", "b": "", "deep/d": "0 .5 .5 1 1"}
SETTINGS = "path: .\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data.yaml").write_text(SETTINGS)
    for name, (height, width) in SIZES.items():
        path = tmp_path / "images/train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height)).save(path)
    for name, text in LABELS.items():
        write_label(tmp_path, name, text)
    return tmp_path


def write_label(folder, name, text):
    path = folder / "labels/train" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_images_and_boxes(folder):
    dataset = load_yolo(folder, bounding_box_format="xyxy", shuffle_files=False)
    assert dataset.class_names == ["cat", "dog"]
    assert len(dataset) == 4
    elements = list(dataset.as_numpy_iterator())
    assert [element["images"].shape[:2] for element in elements] == list(SIZES.values())
    rows = elements[0]["bounding_boxes"]
    np.testing.assert_allclose(rows["boxes"], [[15, 15, 45, 25], [12, 16, 18, 24]], atol=1e-4)
    np.testing.assert_array_equal(rows["classes"], [1, 0])
    np.testing.assert_allclose(rows["area"], [300, 48], rtol=1e-5)
    assert not rows["is_crowd"].any()
    assert [len(element["bounding_boxes"]["classes"]) for element in elements] == [2, 0, 0, 1]
    # No label file is no error, but worth a word; an empty one says that there is nothing.
    assert dataset.report.counts == {"no_annotation": 1}
    assert dataset.report.num_empty_images == 2


@pytest.mark.parametrize(
    ("line", "kind", "is_kept"),
    [
        ("0 0.1 0.1 0.5 0.1 0.5 0.4", "polygon", True),
        ("1 0.9 0.5 0.4 0.2", "clipped_box", True),
        ("2 0.5 0.5 0.1 0.1", "unknown_category", False),
        ("0.5 0.5 0.5 0.1 0.1", "unknown_category", False),
        ("nan 0.5 0.5 0.1 0.1", "unknown_category", False),
        ("-1 0.5 0.5 0.1 0.1", "unknown_category", False),
        ("cat 0.5 0.5 0.1 0.1", "malformed_annotation", False),
        ("0 0.5 0.5 0.1", "malformed_box", False),
        ("0", "malformed_box", False),
        ("0 40 30 20 10", "no_fractions", False),
        ("0 10 10 50 10 50 40", "no_fractions", False),
        ("0 0.5 0.5 0 0.1", "no_area_box", False),
        ("0 2.5 0.5 0.1 0.1", "outside_box", False),
        ("0 nan 0.5 0.1 0.1", "non_finite_box", False),
        ("0 1e400 0.5 0.1 0.1", "non_finite_box", False),
    ],
)
def test_odd_lines_are_counted(folder, line, kind, is_kept):
    write_label(folder, "c", line)
    report = load_yolo(folder).report
    assert report.counts == {kind: 1}
    assert report.num_boxes_read == 4
    assert report.num_boxes == 3 + is_kept
    assert report.num_boxes_dropped == 1 - is_kept
    assert kind in str(report)


def test_a_polygon_becomes_the_box_around_it(folder):
    write_label(folder, "c", "1 0.5 0.1 0.9 0.5 0.2 0.8")
    dataset = load_yolo(folder, bounding_box_format="rel_xyxy", shuffle_files=False)
    elements = list(dataset.as_numpy_iterator())
    np.testing.assert_allclose(
        elements[2]["bounding_boxes"]["boxes"], [[0.2, 0.1, 0.9, 0.8]], atol=1e-6
    )


def test_broken_files_are_left_out(folder):
    (folder / "images/train/a.jpg").write_bytes(b"no picture")
    (folder / "labels/train/c.txt").write_bytes(b"\xff\xfe\x00")
    report = load_yolo(folder).report
    assert report.counts == {
        "unreadable_file": 1,
        "unreadable_annotation": 1,
        "box_of_dropped_image": 2,
    }
    assert report.num_images == 2


@pytest.mark.parametrize(
    "settings",
    [
        "train: images/train\nnames: {0: cat, 1: dog}\n",
        "train: ../images/train\nval: ../images/val\nnames: [cat, dog]\n",
    ],
)
def test_other_ways_to_write_data_yaml(folder, settings):
    (folder / "data.yaml").write_text(settings)
    dataset = load_yolo(folder)
    assert dataset.class_names == ["cat", "dog"]
    assert dataset.report.num_images == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("names: [cat", "can't be read as YAML"),
        ("train: images/train\nnames: {0: cat, 0: dog}", "the key '0' is there 2 times"),
        (SETTINGS + "names: [bird]", "the key 'names' is there 2 times"),
        ("just text", "must hold names and splits"),
        ("train: images/train", "must list the classes"),
        ("train: images/train\nnames: {0: cat, 2: dog}", "without holes"),
        ("train: images/train\nnames: []", "must list the classes"),
        (SETTINGS + "nc: 3", "the number of 'names', which is 2. Received: '3'"),
        ("val: images/val\nnames: [cat]", r"of the split 'train' \(train\)"),
        ("train: {a: b}\nnames: [cat]", "must name the folder"),
        ("train: []\nnames: [cat]", "must name the folder"),
        ("train: [images/train, [b]]\nnames: [cat]", "must name the folder"),
        (SETTINGS + "kpt_shape: 17", "must hold the number of keypoints"),
        (SETTINGS + "kpt_shape: [17, -3]", "must hold the number of keypoints"),
    ],
)
def test_wrong_settings_are_refused(folder, settings, message):
    (folder / "data.yaml").write_text(settings)
    with pytest.raises(ValueError, match=message):
        load_yolo(folder)


def test_what_is_not_there(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="split 'validation' are in none of"):
        load_yolo(folder, "validation")
    with pytest.raises(ValueError, match="`split` must be one of"):
        load_yolo(folder, "dev")
    (folder / "data.yaml").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds data\.yaml"):
        load_yolo(folder)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load_yolo(tmp_path / "nowhere")


def accounted(report):
    """Return whether what was read is what is there and what is reported."""
    images = report.num_images + report.num_images_dropped
    boxes = report.num_boxes + report.num_boxes_dropped
    return (report.num_images_read, report.num_boxes_read) == (images, boxes)


def test_a_byte_order_mark_is_no_part_of_the_first_box(folder):
    for path in (folder / "labels/train/a.txt", folder / "data.yaml"):
        path.write_text(path.read_text(), encoding="utf-8-sig")
    report = load_yolo(folder).report
    assert report.num_boxes == 3
    assert report.counts == {"no_annotation": 1}


def test_the_box_of_a_pose_is_taken(folder):
    # 2 keypoints of x, y and visibility: as a polygon the line would have five corners.
    (folder / "data.yaml").write_text(SETTINGS + "kpt_shape: [2, 3]\n")
    write_label(folder, "c", "1 0.5 0.5 0.2 0.4 0.1 0.1 2 0.9 0.9 2")
    dataset = load_yolo(folder, bounding_box_format="rel_center_xywh", shuffle_files=False)
    boxes = list(dataset.as_numpy_iterator())[2]["bounding_boxes"]["boxes"]
    np.testing.assert_allclose(boxes, [[0.5, 0.5, 0.2, 0.4]], atol=1e-6)
    assert dataset.report.counts == {}


@pytest.mark.parametrize("num_keypoints", [1, 2, 3, 17])
def test_poses_without_their_shape_are_told(folder, num_keypoints):
    # Of the second nothing is visible, and the last two are a polygon and a box.
    box = "1 0.5 0.5 0.2 0.4"
    lines = [
        box + " 0.1 0.9 2" * num_keypoints,
        box + " 0 0 0" * num_keypoints,
        "0 0.1 0.1 0.5 0.1 0.5 0.4",
        box,
    ]
    write_label(folder, "c", "\n".join(lines))
    dataset = load_yolo(folder, bounding_box_format="rel_center_xywh", shuffle_files=False)
    boxes = list(dataset.as_numpy_iterator())[2]["bounding_boxes"]["boxes"]
    expected = [[0.5, 0.5, 0.2, 0.4]] * 2 + [[0.3, 0.25, 0.4, 0.3], [0.5, 0.5, 0.2, 0.4]]
    np.testing.assert_allclose(boxes, expected, atol=1e-6)
    assert dataset.report.counts == {"pose": 2, "polygon": 1}
    assert f"c.txt, line 1: {5 + 3 * num_keypoints} numbers" in str(dataset.report)
    # A polygon may have ends at the edges, but nothing outside.
    write_label(folder, "c", "1 0.5 0.5 0.2 0.4 0.3 0.3 1 0.2 0.2 0")
    assert load_yolo(folder).report.counts == {"polygon": 1}


def test_labels_that_are_nowhere_are_an_error(folder):
    (folder / "labels").rename(folder / "annotations")
    with pytest.raises(FileNotFoundError, match=r"None of the 4 images.*labels.train.a\.txt"):
        load_yolo(folder)


def test_labels_without_an_image_are_counted(folder):
    write_label(folder, "e", "0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n")
    (folder / "images/train/e.psd").write_bytes(b"an image of another kind")
    write_label(folder, "classes", "cat\ndog\n")
    report = load_yolo(folder).report
    assert report.counts == {"missing_file": 1, "no_annotation": 1, "box_of_dropped_image": 2}
    assert "e.txt: no image of a known kind" in report.problems[-1].detail
    assert accounted(report)
    assert (report.num_images_read, report.num_boxes_read) == (5, 5)


def test_several_folders_and_lists_of_images(folder):
    (folder / "images/more/e.png").parent.mkdir()
    Image.new("RGB", (10, 10)).save(folder / "images/more/e.png")
    (folder / "lists").mkdir()
    listed = "images/train/a.jpg\n./../images/train/b.png\n\nimages/train/none.jpg\n"
    (folder / "lists/some.txt").write_text(listed)
    names = "names: [cat, dog]\n"
    for train, files in (
        ("[images/train, images/more]", ["a.jpg", "b.png", "c.jpg", "d.jpg", "e.png"]),
        ("lists/some.txt", ["a.jpg", "b.png"]),
    ):
        (folder / "data.yaml").write_text(f"train: {train}\n{names}")
        dataset = load_yolo(folder)
        assert [os.path.basename(name) for name in dataset.file_names.values()] == files
        assert dataset.report.num_boxes == (3 if "[" in train else 2)
        assert accounted(dataset.report)
    assert dataset.report.counts["missing_file"] == 1


def test_a_list_of_images_names_those_that_are_meant(folder):
    listed = ["images/train/A.JPG", "images\\train\\b.png", "images/train/c.jpeg", "deep/d%2Ejpg"]
    (folder / "some.txt").write_text("\n".join([*listed, "images/train/a.jpg"]))
    (folder / "data.yaml").write_text("train: some.txt\nnames: [cat, dog]")
    report = load_yolo(folder).report
    hints = [problem.detail for problem in report.problems if problem.kind == "missing_file"]
    for hint, found in zip(hints, ["a.jpg", "b.png", "c.jpg", None], strict=True):
        assert hint.endswith(f", but there is {folder}/images/train/{found}") == bool(found)
    assert report.num_images == 1
    assert accounted(report)


def test_words_of_yaml_stay_names(folder):
    (folder / "data.yaml").write_text("train: images/train\nval:\nnames: [no, 1.50]")
    assert load_yolo(folder).class_names == ["no", "1.50"]
    with pytest.raises(ValueError, match="must name the folder"):
        load_yolo(folder, "validation")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("[cat, dog, cat]", "'cat' at the positions 0 and 2"),
        ("{0: cat, 1: }", "aren't empty.*position 1"),
        ("{0: cat, 1: [dog, wolf]}", "must list the classes"),
        ("[cat, [dog]]", "must list the classes"),
        ("[cat, '']", "aren't empty.*position 1"),
        ("cat", "must list the classes"),
        ("{0: {name: cat}, 1: dog}", "must list the classes"),
    ],
)
def test_names_are_checked(folder, names, message):
    (folder / "data.yaml").write_text(f"train: images/train\nnames: {names}")
    with pytest.raises(ValueError, match=rf"'names' of .*data\.yaml' .*{message}"):
        load_yolo(folder)


def test_classes_are_matched_by_name(folder):
    settings = {"shuffle_files": False, "class_names": ["dog", "emu", "cat"]}
    dataset = load_yolo(folder, **settings)
    assert dataset.class_names == ["dog", "emu", "cat"]
    classes = [element["bounding_boxes"]["classes"] for element in dataset.as_numpy_iterator()]
    assert [row.tolist() for row in classes] == [[0, 2], [], [], [2]]
    with pytest.raises(ValueError, match=r"lacks \['dog'\] of .*train.*not expected \['dog'\]"):
        load_yolo(folder, class_names=["cat"])
    with pytest.raises(ValueError, match="`class_names` must be a list"):
        load_yolo(folder, class_names="cat")


@pytest.mark.parametrize("key", ["names", "train", "more"])
@pytest.mark.parametrize("line", ["[*{0}, *{0}]", "{{<<: [*{0}, *{0}]}}"])
def test_nested_aliases_do_not_run_away(folder, key, line):
    levels = "".join(f"a{n}: &a{n} {line.format(f'a{n - 1}')}\n" for n in range(1, 60))
    top = f"{key}: *a59\n"
    settings = "".join(
        entry for entry in ("train: images/train\n", "names: [cat, dog]\n") if key not in entry
    )
    (folder / "data.yaml").write_text(f"a0: &a0 {{a: b}}\n{levels}{top}{settings}")
    if key == "more":
        assert load_yolo(folder).class_names == ["cat", "dog"]
    else:
        with pytest.raises(ValueError, match=r"must (list|name) the (classes|folder)") as error:
            load_yolo(folder)
        assert len(str(error.value)) < 1000


def test_files_without_end_are_refused(folder, monkeypatch):
    label = folder / "labels/train/a.txt"
    label.unlink()
    os.mkfifo(label)
    report = load_yolo(folder).report
    assert report.counts["unreadable_annotation"] == 1
    assert "is a named pipe" in str(report)
    monkeypatch.setattr("keras_detr.datasets.yolo_settings._LARGEST_SETTINGS", 10)
    with pytest.raises(ValueError, match=r"data\.yaml.*is larger than 10 bytes"):
        load_yolo(folder)
    (folder / "data.yaml").unlink()
    (folder / "data.yaml").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"data\.yaml.*is a device"):
        load_yolo(folder)


def test_random_text_never_crashes(folder):
    draw = random.Random(0)
    words = ["0", "1", "7", "-1", "nan", "inf", "1e999", "0.5", ".3", "x", "\x00", "é", ""]
    for _ in range(20):
        lines = [" ".join(draw.choices(words, k=draw.randrange(9))) for _ in range(30)]
        write_label(folder, "c", "\n".join(lines))
        report = load_yolo(folder).report
        assert report.num_boxes_read == report.num_boxes + report.num_boxes_dropped
        assert report.num_boxes >= 3


def test_settings_of_another_name(folder):
    (folder / "data.yaml").rename(folder / "animals.yml")
    for path in (folder, folder / "animals.yml", str(folder / "animals.yml")):
        assert len(load_yolo(path)) == 4
    (folder / "other.yaml").write_text("names: [cat]")
    with pytest.raises(FileNotFoundError, match=r"Found \['animals.yml', 'other.yaml'\]"):
        load_yolo(folder)
    for name in ("animals.yml", "other.yaml"):
        (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"write one: a line 'train: '.*classes\.txt"):
        load_yolo(folder)


def test_labels_beside_the_images_and_names_of_the_caller(tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.5 0.25")
    (tmp_path / "data.yaml").write_text("train: .")
    dataset = load_yolo(tmp_path, class_names=["cat", "dog"])
    assert dataset.class_names == ["cat", "dog"]
    assert dataset.report.num_boxes == 1


def test_names_of_splits(folder):
    for name in ("e.jpg", "f.jpg"):
        path = folder / "images/val" / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (30, 20)).save(path)
        label = folder / "labels/val" / f"{path.stem}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("0 .5 .5 1 1")
    for split in ("validation", "val", "valid"):
        dataset = load_yolo(folder, split)
        assert len(dataset) == 2
        first = [next(iter(dataset))["image_id"] for _ in range(10)]
        assert first == [0] * 10
