"""An annotation file can't name files outside of the data's folder, unless it is allowed."""

import json
import os

import pytest
from PIL import Image

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from keras_detr.datasets import load_coco_json, load_voc, load_yolo

OBJECT = (
    "<object><name>cat</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax>"
    "</bndbox></object>"
)


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Make data sets of the three kinds with one image, and another image outside of them."""
    data = tmp_path / "data"
    picture(data / "images/a.jpg")
    picture(tmp_path / "private/images/b.jpg")
    for place in (data, tmp_path / "private"):
        place.joinpath("labels").mkdir()
        for name in "ab":
            place.joinpath("labels", f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    picture(data / "JPEGImages/a.jpg")
    picture(tmp_path / "private/b.jpg")
    for path in (data / "Annotations/a.xml", tmp_path / "private/b.xml"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<annotation>{OBJECT}</annotation>")
    return data


def coco(folder, name, **settings):
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 7, "file_name": name}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [2, 2, 9, 9]} for i in (1, 7)
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    path = folder / "coco.json"
    path.write_text(json.dumps(content))
    return load_coco_json(folder / "images", path, **settings)


def voc(folder, name, **settings):
    path = folder / "ImageSets/Main/train.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"a\n{os.path.splitext(name)[0]}\n")
    return load_voc(folder, "train", **settings)


def yolo_list(folder, name, **settings):
    folder.joinpath("train.txt").write_text(f"images/a.jpg\n{name}\n")
    folder.joinpath("data.yaml").write_text("train: train.txt\nnames: [cat]")
    return load_yolo(folder, **settings)


def yolo(folder, name, **settings):
    folder.joinpath("data.yaml").write_text(f"train: [images, {name}]\nnames: [cat]")
    return load_yolo(folder, **settings)


OUTSIDE = [
    (coco, "../../private/b.jpg", "coco.json, 'file_name' of image 7"),
    (coco, "{}/private/b.jpg", "coco.json, 'file_name' of image 7"),
    (coco, "./../../private/b.jpg", "coco.json, 'file_name' of image 7"),
    (voc, "../../private/b.jpg", "train.txt"),
    (voc, "{}/private/b.jpg", "train.txt"),
    (yolo_list, "../private/images/b.jpg", "train.txt"),
    (yolo_list, "./../private/images/b.jpg", "train.txt"),
    (yolo_list, "{}/private/images/b.jpg", "train.txt"),
    (yolo, "../../data/../private/images", "data.yaml, split 'train'"),
    (yolo, "{}/private/images", "data.yaml, split 'train'"),
]


@pytest.mark.parametrize(("load", "name", "where"), OUTSIDE)
def test_outside_files_are_refused_and_allowed_by_choice(folder, load, name, where):
    name = name.format(folder.parent)
    with pytest.raises(ValueError, match=rf"{where}: .*leads out of the folder") as raised:
        load(folder, name)
    assert repr(name)[1:-1].removesuffix(".jpg") in str(raised.value)
    assert "`outside_files='allow'`" in str(raised.value)
    dataset = load(folder, name, outside_files="allow")
    assert dataset.report.num_images == 2
    assert dataset.report.num_boxes == 2


@pytest.mark.parametrize(
    ("load", "inside"),
    [
        (coco, "more/../b.jpg"),
        (coco, "{}/images/b.jpg"),
        (coco, "linked/b.jpg"),
        (yolo_list, "{}/images/b.jpg"),
        (yolo_list, "../data/images/b.jpg"),
        (yolo_list, "images/linked/b.jpg"),
    ],
)
def test_what_stays_inside_and_links_are_read(folder, load, inside):
    picture(folder / "images/b.jpg")
    (folder / "images/more").mkdir()
    (folder / "images/linked").symlink_to(folder.parent / "private")
    assert load(folder, inside.format(folder)).report.num_images == 2


def test_two_dots_after_a_link_do_not_lead_out(folder):
    (folder / "images/linked").symlink_to(folder.parent / "private/images")
    report = coco(folder, "linked/../b.jpg").report
    assert report.counts == {"missing_file": 1, "box_of_dropped_image": 1}


@pytest.mark.parametrize(
    "settings",
    [
        # As Roboflow, Ultralytics and others write them.
        "train: ../images\nval: ../valid/images",
        "path: ../datasets/data\ntrain: images",
        "path: {}\ntrain: images",
        "path: /content/data\ntrain: images",
        "path: .\ntrain: ./images",
        "train: {}/images",
    ],
)
def test_published_ways_to_write_data_yaml(folder, settings):
    folder.joinpath("data.yaml").write_text(f"{settings.format(folder)}\nnames: [cat]")
    assert load_yolo(folder).report.num_images == 1


def test_folders_that_are_only_outside(folder):
    folder.joinpath("data.yaml").write_text("path: ../private\ntrain: images/images\nnames: [cat]")
    (folder.parent / "private/images/images").mkdir()
    with pytest.raises(FileNotFoundError, match="or pass `outside_files='allow'` to look outside"):
        load_yolo(folder)


@pytest.mark.parametrize("load", [coco, voc, yolo])
def test_other_choices_are_refused(folder, load):
    with pytest.raises(ValueError, match=r"`outside_files` must be 'refuse' or 'allow'.*'no'"):
        load(folder, "images", outside_files="no")
