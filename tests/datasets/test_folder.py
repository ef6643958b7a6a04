"""A folder's parts are found, whatever its layout is, and mean the same in each."""

import json
import logging

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from keras_detr.datasets import load_folder
from tests.datasets.folders_of_layouts import (
    NAMES,
    PARTS,
    WRITERS,
    write_coco,
    write_voc,
    write_yolo,
)

WITHOUT_VALID = {part: images for part, images in PARTS.items() if part != "valid"}


def contents(dataset):
    """Return a dict from the name of a file to its image, boxes and classes."""
    by_id = {key: path.rsplit("/", 1)[-1] for key, path in dataset.file_names.items()}
    return {
        by_id[int(element["image_id"])]: (
            element["images"],
            element["bounding_boxes"]["boxes"],
            element["bounding_boxes"]["classes"],
        )
        for element in dataset.as_numpy_iterator()
    }


def test_category_ids_are_those_of_each_file(tmp_path):
    write_coco(tmp_path)
    data = load_folder(tmp_path)
    assert data.train.category_ids == (0, 1)
    assert data.valid.category_ids == (5, 4)
    assert load_folder(tmp_path, classes=["dog"]).test.category_ids == (4,)


def test_layouts_without_ids(tmp_path):
    write_yolo(tmp_path)
    assert load_folder(tmp_path).train.category_ids is None


@pytest.mark.parametrize("layout", WRITERS)
def test_each_layout_gives_the_same_parts(layout, tmp_path):
    WRITERS[layout](tmp_path)
    data = load_folder(tmp_path)
    assert data.format == layout.partition("_")[0]
    assert data.class_names == list(NAMES)
    assert not data.is_held_out
    for part, images in PARTS.items():
        found = contents(getattr(data, part))
        assert found.keys() == images.keys()
        for name, (size, objects) in images.items():
            image, boxes, classes = found[name]
            assert image.shape == (*size, 3)
            order = np.lexsort(boxes.T)
            expected = np.array([box for _, *box in objects], "float32").reshape(-1, 4)
            expected_order = np.lexsort(expected.T)
            np.testing.assert_allclose(boxes[order], expected[expected_order], atol=1e-4)
            labels = np.array([label for label, *_ in objects], "int32")
            np.testing.assert_array_equal(classes[order], labels[expected_order])


def test_images_are_held_out_alike_in_each_layout(tmp_path, caplog):
    parts = {}
    for layout, write in WRITERS.items():
        write(tmp_path / layout, WITHOUT_VALID)
        with caplog.at_level(logging.WARNING, logger="keras_detr"):
            data = load_folder(tmp_path / layout, hold_out=0.4)
        assert "2 of its training images are held out" in caplog.text
        assert data.is_held_out
        parts[layout] = [set(contents(part)) for part in (data.train, data.valid, data.test)]
    train, valid, test = parts["coco"]
    assert len(train) == 3
    assert len(valid) == 2
    assert train | valid == set(PARTS["train"])
    assert test == set(PARTS["test"])
    assert all(found == parts["coco"] for found in parts.values())


def test_reports_of_held_out_images_account_for_all(tmp_path):
    write_coco(tmp_path, WITHOUT_VALID)
    path = tmp_path / "train" / "_annotations.coco.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [1, 2, 3]
    path.write_text(json.dumps(content))
    data = load_folder(tmp_path, hold_out=0.4)
    reports = data.train.report, data.valid.report
    assert sum(report.num_images_read for report in reports) == 5
    assert sum(report.num_boxes_read for report in reports) == 5
    assert data.train.report.counts == {"malformed_box": 1}
    for report in reports:
        assert report.num_images_read == report.num_images + report.num_images_dropped
        assert report.num_boxes_read == report.num_boxes + report.num_boxes_dropped


def test_other_seeds_hold_out_other_images(tmp_path):
    write_yolo(tmp_path, WITHOUT_VALID)
    held_out = {
        frozenset(contents(load_folder(tmp_path, hold_out=0.2, seed=seed).valid))
        for seed in range(8)
    }
    assert len(held_out) > 1


def test_nothing_is_held_out_on_demand(tmp_path):
    write_voc(tmp_path, WITHOUT_VALID)
    data = load_folder(tmp_path, hold_out=None)
    assert data.valid is None
    assert data.train.report.num_images == 5


@pytest.mark.parametrize("layout", WRITERS)
def test_only_the_classes_asked_for(layout, tmp_path):
    WRITERS[layout](tmp_path)
    data = load_folder(tmp_path, classes=["dog"])
    assert data.class_names == ["dog"]
    assert data.train.report.num_images == 5
    assert data.train.report.num_boxes == data.train.report.num_boxes_read == 3
    assert data.test.report.num_boxes == 0
    assert {label for _, _, classes in contents(data.train).values() for label in classes} == {0}


def test_classes_come_in_the_order_asked_for(tmp_path):
    write_coco(tmp_path)
    data = load_folder(tmp_path, classes=["dog", "cat"])
    assert data.train.report.num_boxes_by_class == {"dog": 3, "cat": 2}
    assert contents(data.valid)["f.png"][2].tolist() == [0]


def test_a_class_that_is_not_there(tmp_path):
    write_coco(tmp_path)
    with pytest.raises(ValueError, match=r"`classes` must be among .*'cat', 'dog'.*'cow'"):
        load_folder(tmp_path, classes=["dog", "cow"])
    with pytest.raises(ValueError, match=r"\['Dog'\]\. Did you mean 'dog'\?"):
        load_folder(tmp_path, classes=["cat", "Dog"])


def test_a_class_of_validation_that_training_lacks_is_refused(tmp_path):
    write_coco(tmp_path)
    path = tmp_path / "valid" / "_annotations.coco.json"
    path.write_text(path.read_text().replace("dog", "Dog"))
    with pytest.raises(ValueError, match=r"lacks \['Dog'\]"):
        load_folder(tmp_path)


@pytest.mark.parametrize("names", [("valid", "test"), ()])
def test_a_folder_without_training_data(names, tmp_path):
    write_coco(tmp_path, {name: PARTS[name] for name in names})
    with pytest.raises(FileNotFoundError, match="no training data was found"):
        load_folder(tmp_path)


def test_a_folder_of_another_layout(tmp_path):
    write_coco(tmp_path)
    message = r"Expected: data\.yaml \(YOLO\)\. `format` may be 'coco' for this folder\.$"
    with pytest.raises(FileNotFoundError, match=message):
        load_folder(tmp_path, "yolo")


def test_two_layouts_in_one_folder_need_a_choice(tmp_path):
    write_coco(tmp_path)
    write_yolo(tmp_path)
    with pytest.raises(ValueError, match=r"Pass `format`, one of \['coco', 'yolo'\]"):
        load_folder(tmp_path)
    assert load_folder(tmp_path, "yolo").format == "yolo"
    assert load_folder(tmp_path, format="coco").format == "coco"


@pytest.mark.parametrize("images", [".", "images"])
def test_one_json_file_beside_the_images_is_training_data(images, tmp_path):
    write_coco(tmp_path / "roboflow", WITHOUT_VALID)
    (tmp_path / "mine").mkdir()
    (tmp_path / "roboflow" / "train").rename(tmp_path / "mine" / images)
    file = tmp_path / "mine" / images / "_annotations.coco.json"
    file.rename(tmp_path / "mine" / "labels.json")
    data = load_folder(tmp_path / "mine", hold_out=0.4)
    assert data.format == "coco"
    assert data.test is None
    assert set(contents(data.train)) | set(contents(data.valid)) == set(PARTS["train"])
    (tmp_path / "mine" / "more.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"which holds .*'labels\.json', 'more\.json'.*"):
        load_folder(tmp_path / "mine")


def test_a_json_file_in_a_folder_of_another_layout_is_no_matter(tmp_path):
    write_yolo(tmp_path)
    (tmp_path / "notes.json").write_text("{}")
    assert load_folder(tmp_path).format == "yolo"


def test_crowds_that_are_not_trained_are_counted(tmp_path):
    write_coco(tmp_path)
    path = tmp_path / "train" / "_annotations.coco.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    line = str(load_folder(tmp_path)).splitlines()[0]
    assert line.endswith("left out 0 images and 0 boxes, and 1 box around a crowd")


def test_layout_of_coco_itself(tmp_path):
    write_coco(tmp_path)
    (tmp_path / "annotations").mkdir()
    for part, name in (("train", "train2017"), ("valid", "val2017")):
        (tmp_path / part).rename(tmp_path / name)
        file = tmp_path / name / "_annotations.coco.json"
        file.rename(tmp_path / "annotations" / f"instances_{name}.json")
        (tmp_path / "annotations" / f"captions_{name}.json").write_text("{}")
    data = load_folder(tmp_path)
    assert data.train.report.num_images == 5
    assert data.valid.report.num_images == 1


def test_several_annotation_files_of_a_part(tmp_path):
    write_coco(tmp_path)
    (tmp_path / "annotations").mkdir()
    file = tmp_path / "train" / "_annotations.coco.json"
    for name in ("train_first.json", "train_second.json"):
        (tmp_path / "annotations" / name).write_bytes(file.read_bytes())
    file.unlink()
    with pytest.raises(ValueError, match=r"several files could be the annotations of 'train'"):
        load_folder(tmp_path)


def test_a_test_part_that_is_only_named(tmp_path, caplog):
    write_yolo(tmp_path, {part: PARTS[part] for part in ("train", "valid")})
    settings = tmp_path / "data.yaml"
    settings.write_text(f"{settings.read_text()}\ntest: ../test/images")
    data = load_folder(tmp_path)
    assert data.test is None
    assert "There is no test part" in caplog.text


def test_the_fingerprint_follows_the_annotations(tmp_path):
    write_coco(tmp_path / "here")
    write_coco(tmp_path / "there")
    first, same = (load_folder(tmp_path / name).fingerprint for name in ("here", "there"))
    assert first == same
    path = tmp_path / "there" / "valid" / "_annotations.coco.json"
    path.write_text(path.read_text().replace("[20, 10, 40, 20]", "[20, 10, 40, 21]"))
    assert load_folder(tmp_path / "there").fingerprint != first
    assert load_folder(tmp_path / "here", classes=["cat"]).fingerprint != first


def test_what_is_printed(tmp_path):
    write_coco(tmp_path)
    text = str(load_folder(tmp_path))
    assert "train: 5 images, 1 of them empty; 5 boxes; left out 0 images and 0 boxes" in text
    assert "cat 2, dog 3" in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "csv"}, "`format` must be"),
        ({"hold_out": 1.0}, "`hold_out` must be"),
        ({"hold_out": True}, "`hold_out` must be"),
        ({"hold_out": "a fifth"}, "`hold_out` must be"),
        ({"classes": "cat"}, "`classes` must be a list"),
        ({"bounding_box_format": "corners"}, "`bounding_box_format`"),
    ],
)
def test_wrong_arguments(settings, message, tmp_path):
    write_coco(tmp_path)
    with pytest.raises(ValueError, match=message):
        load_folder(tmp_path, **settings)


def test_one_image_cannot_be_held_out(tmp_path):
    write_coco(tmp_path, {"train": {"d.png": PARTS["train"]["d.png"]}})
    with pytest.raises(ValueError, match="too few to hold out"):
        load_folder(tmp_path)
