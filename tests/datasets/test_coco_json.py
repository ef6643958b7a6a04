# ruff: noqa: E402
import copy
import json
import logging
import os

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import tensorflow_datasets as tfds
from PIL import Image

from keras_detr.datasets import load_coco, load_coco_json
from keras_detr.datasets.data_report import PROBLEM_KINDS
from keras_detr.ops.boxes import BOX_FORMATS, convert_box_format
from keras_detr.preprocessing import PadToCanvas, ResizeShortestSide
from tests.datasets.coco_mini import SPLITS, prepare_coco_mini, read_annotations, split_paths

HEIGHT, WIDTH = 20, 30


@pytest.fixture
def images_dir(tmp_path):
    """Write a.png, b.jpg and sub/c.bmp, of 20x30 pixels."""
    rng = np.random.default_rng(0)
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "b.jpg", "sub/c.bmp"):
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


def sound_content():
    """Return a COCO-JSON dict with nothing wrong in it, categories 7 and 3."""
    size = {"height": HEIGHT, "width": WIDTH}
    names = ("a.png", "b.jpg", "sub/c.bmp")
    images = [{"id": 10 + i, "file_name": name, **size} for i, name in enumerate(names)]
    boxes = [(10, 7, [1, 2, 10, 11]), (10, 3, [0, 0, 30, 20]), (11, 3, [5.5, 6, 7.25, 8])]
    return {
        "images": images,
        "categories": [{"id": 7, "name": "seven"}, {"id": 3, "name": "three"}],
        "annotations": [
            {"id": 100 + i, "image_id": image, "category_id": category, "bbox": box}
            for i, (image, category, box) in enumerate(boxes)
        ],
    }


def changed_content(where, index, **changes):
    """Return `sound_content` with an entry's values replaced; ... stands for a missing key."""
    content = sound_content()
    entry = {**content[where][index], **changes}
    content[where][index] = {key: value for key, value in entry.items() if value is not ...}
    return content


def elements_of(dataset):
    return {int(element["image_id"]): element for element in dataset.as_numpy_iterator()}


def assert_account_adds_up(report):
    assert report.num_images_read == report.num_images + report.num_images_dropped
    left = report.num_boxes + report.num_boxes_dropped + report.num_crowds_left_out
    assert report.num_boxes_read == left
    assert {problem.kind for problem in report.problems} <= set(PROBLEM_KINDS)
    assert sum(report.counts.values()) == len(report.problems)


@pytest.mark.realdata
@pytest.mark.parametrize("split", sorted(SPLITS))
class TestRealAnnotations:
    def test_every_box_and_label_equals_the_json(self, split, caplog):
        dataset = load_coco_json(*split_paths(split), bounding_box_format="xywh")
        content = read_annotations(split)
        category_ids = sorted(entry["id"] for entry in content["categories"])
        assert dataset.category_ids == tuple(category_ids)
        elements = elements_of(dataset)
        assert len(dataset) == len(elements) == len(content["images"])
        num_boxes = 0
        for image in content["images"]:
            element = elements[image["id"]]
            found = element["bounding_boxes"]
            entries = [e for e in content["annotations"] if e["image_id"] == image["id"]]
            entries.sort(key=lambda entry: entry["id"])
            boxes = np.array([entry["bbox"] for entry in entries]).reshape(-1, 4)
            # float32 of at most 640 pixels.
            np.testing.assert_allclose(found["boxes"], boxes, atol=5e-5)
            labels = [category_ids.index(entry["category_id"]) for entry in entries]
            np.testing.assert_array_equal(found["classes"], labels)
            np.testing.assert_array_equal(found["is_crowd"], [e["iscrowd"] for e in entries])
            np.testing.assert_allclose(found["area"], [e["area"] for e in entries], rtol=1e-6)
            size = (image["height"], image["width"])
            np.testing.assert_array_equal(element["image_size"], size)
            assert element["images"].shape == (*size, 3)
            assert dataset.file_names[image["id"]].endswith(image["file_name"])
            num_boxes += len(entries)
        assert num_boxes == len(content["annotations"]) == dataset.report.num_boxes
        assert_account_adds_up(dataset.report)
        assert dataset.report.problems == []
        assert caplog.records == []

    def test_equals_what_tfds_reads(self, split, tmp_path):
        tfds.disable_progress_bar()
        prepare_coco_mini(tmp_path)
        # As TFDS keeps them: nothing is rounded on the way to another format.
        settings = {"bounding_box_format": "rel_yxyx", "crowds": "keep"}
        ours = load_coco_json(*split_paths(split), **settings)
        theirs = load_coco(split, data_dir=tmp_path, **settings)
        assert ours.element_spec == theirs.element_spec
        assert ours.class_names == theirs.class_names
        ours, theirs = elements_of(ours), elements_of(theirs)
        assert ours.keys() == theirs.keys()
        for image_id, element in theirs.items():
            mine = ours[image_id]
            # TFDS keeps areas as whole numbers.
            mine["bounding_boxes"]["area"] = np.floor(mine["bounding_boxes"]["area"])
            tf.nest.map_structure(np.testing.assert_array_equal, mine, element)

    def test_crowds_are_left_out_when_asked_for(self, split):
        dataset = load_coco_json(*split_paths(split), crowds="drop")
        crowds = sum(entry["iscrowd"] for entry in read_annotations(split)["annotations"])
        assert dataset.report.num_crowds_left_out == crowds > 0
        for element in dataset.as_numpy_iterator():
            assert not element["bounding_boxes"]["is_crowd"].any()
        assert_account_adds_up(dataset.report)

    def test_goes_through_the_layers_into_batches(self, split):
        resize = ResizeShortestSide(64, longest_side=107, bounding_box_format="xyxy")
        pad = PadToCanvas((107, 107), max_boxes=100, bounding_box_format="xyxy")
        dataset = load_coco_json(*split_paths(split))
        batches = list(dataset.map(resize).map(pad).batch(8).as_numpy_iterator())
        counts = [(batch["bounding_boxes"]["classes"] >= 0).sum() for batch in batches]
        assert sum(counts) == dataset.report.num_boxes
        assert batches[0]["images"].shape == (8, 107, 107, 3)


class TestElements:
    @pytest.mark.parametrize("bounding_box_format", sorted(BOX_FORMATS))
    def test_every_box_format(self, images_dir, bounding_box_format):
        dataset = load_coco_json(
            images_dir, sound_content(), bounding_box_format=bounding_box_format
        )
        boxes = elements_of(dataset)[10]["bounding_boxes"]["boxes"]
        pixels = convert_box_format(boxes, bounding_box_format, "xywh", (HEIGHT, WIDTH), np.stack)
        np.testing.assert_allclose(pixels, [[1, 2, 10, 11], [0, 0, 30, 20]], atol=1e-5)

    def test_sparse_ids_become_classes_in_order(self, images_dir):
        dataset = load_coco_json(images_dir, sound_content())
        assert dataset.class_names == ["three", "seven"]
        assert dataset.category_ids == (3, 7)
        elements = elements_of(dataset)
        np.testing.assert_array_equal(elements[10]["bounding_boxes"]["classes"], [1, 0])
        assert elements[12]["bounding_boxes"]["boxes"].shape == (0, 4)
        assert dataset.report.num_empty_images == 1

    def test_classes_are_matched_by_name(self, images_dir):
        content = sound_content()
        expected = elements_of(load_coco_json(images_dir, content))
        others = copy.deepcopy(content)
        # Another order of the ids, blanks, and a class without boxes.
        names = [{"id": 3, "name": " seven"}, {"id": 7, "name": "three"}, {"id": 1, "name": "one"}]
        others["categories"] = names
        for entry in others["annotations"]:
            entry["category_id"] = 10 - entry["category_id"]
        dataset = load_coco_json(images_dir, others, class_names=["three", "seven", "two"])
        assert dataset.class_names == ["three", "seven", "two"]
        assert dataset.category_ids == (7, 3, None)
        tf.nest.map_structure(np.testing.assert_array_equal, elements_of(dataset), expected)
        message = r"lacks \['seven'\] of `annotations`.*not expected.*'seven'.*missing \['Seven'\]"
        with pytest.raises(ValueError, match=message):
            load_coco_json(images_dir, others, class_names=["three", "Seven"])
        with pytest.raises(ValueError, match="`class_names` must be a list"):
            load_coco_json(images_dir, others, class_names="three")

    def test_a_group_that_has_the_name_of_its_class_is_left_out(self, images_dir, caplog):
        content = sound_content()
        content["categories"] += [{"id": 0, "name": "seven"}, {"id": 9, "name": "three "}]
        dataset = load_coco_json(images_dir, content)
        assert (dataset.class_names, dataset.category_ids) == (["three", "seven"], (3, 7))
        assert dataset.report.counts == {"repeated_category": 2}
        assert "'seven', id 0; 7 is kept" in caplog.text
        np.testing.assert_array_equal(elements_of(dataset)[10]["bounding_boxes"]["classes"], [1, 0])
        content["annotations"][0]["category_id"] = 9
        with pytest.raises(ValueError, match=r"ids \[3, 9\] have one name, 'three'"):
            load_coco_json(images_dir, content)

    def test_files_of_all_kinds_give_the_pixels_of_pil(self, images_dir):
        content = sound_content()
        rng = np.random.default_rng(1)
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
        for mode, suffix in (("L", "png"), ("RGBA", "png"), ("P", "png"), ("L", "jpg")):
            name = f"{mode}.{suffix}"
            image = Image.fromarray(pixels if mode == "RGBA" else pixels[..., :3]).convert(mode)
            image.save(images_dir / name)
            content["images"].append({"id": len(content["images"]), "file_name": name})
        dataset = load_coco_json(images_dir, content)
        assert dataset.report.problems == []
        assert len(dataset) == 7
        for image_id, element in elements_of(dataset).items():
            expected = Image.open(dataset.file_names[image_id]).convert("RGB")
            difference = np.abs(element["images"].astype(float) - np.asarray(expected))
            # Two builds of libjpeg may round apart.
            assert difference.mean() < (1 if dataset.file_names[image_id].endswith("jpg") else 1e-9)

    def test_random_order_reaches_every_image_in_each_pass(self, images_dir):
        dataset = load_coco_json(images_dir, sound_content(), shuffle_files=True)
        orders = {
            tuple(int(element["image_id"]) for element in dataset.as_numpy_iterator())
            for _ in range(12)
        }
        assert {tuple(sorted(order)) for order in orders} == {(10, 11, 12)}
        assert len(orders) > 1
        assert len(dataset) == 3

    def test_annotations_as_a_path_and_as_a_dict_are_one(self, images_dir):
        path = images_dir / "annotations.json"
        path.write_text(json.dumps(sound_content()), encoding="utf-8-sig")
        content = sound_content()
        from_dict = elements_of(load_coco_json(str(images_dir), content))
        assert content == sound_content()
        from_path = elements_of(load_coco_json(images_dir, path))
        tf.nest.map_structure(np.testing.assert_array_equal, from_dict, from_path)


# What is changed in sound content, the problem it is counted as, and the boxes left.
BROKEN = {
    "image is a number": (("images", 2), 5, "malformed_image", 3),
    "id is a text": (("images", 2), {"id": "a"}, "malformed_image", 3),
    "no file name": (("images", 2), {"file_name": ...}, "malformed_image", 3),
    "image repeated": (("images", 2), {"id": 10, "file_name": "a.png"}, "duplicate_image", 3),
    "no file": (("images", 2), {"file_name": "d.png"}, "missing_file", 3),
    "no folder": (("images", 2), {"file_name": "other/d.png"}, "missing_file", 3),
    "no such name": (("images", 2), {"file_name": "a\0b"}, "missing_file", 3),
    "half a surrogate": (("images", 2), {"file_name": "\ud800/a"}, "missing_file", 3),
    "not an image": (("images", 2), {"file_name": "text.jpg"}, "unreadable_file", 3),
    "cut off": (("images", 2), {"file_name": "cut.png"}, "unreadable_file", 3),
    "a format left out": (("images", 2), {"file_name": "c.eps"}, "unreadable_file", 3),
    "wrong size": (("images", 0), {"height": 21}, "wrong_size", 3),
    "size is a text": (("images", 0), {"height": "20"}, "wrong_size", 3),
    "annotation is null": (("annotations", 1), None, "malformed_annotation", 2),
    "no image id": (("annotations", 1), {"image_id": ...}, "malformed_annotation", 2),
    "category is a list": (("annotations", 1), {"category_id": [3]}, "malformed_annotation", 2),
    "crowd is 2": (("annotations", 1), {"iscrowd": 2}, "malformed_annotation", 2),
    "unknown image": (("annotations", 1), {"image_id": 99}, "unknown_image", 2),
    "unknown category": (("annotations", 1), {"category_id": 1}, "unknown_category", 2),
    "three numbers": (("annotations", 1), {"bbox": [1, 2, 3]}, "malformed_box", 2),
    "numbers as text": (("annotations", 1), {"bbox": ["1", 2, 3, 4]}, "malformed_box", 2),
    "no box": (("annotations", 1), {"bbox": ...}, "malformed_box", 2),
    "true": (("annotations", 1), {"bbox": [1, 2, True, 4]}, "malformed_box", 2),
    "NaN": (("annotations", 1), {"bbox": [1, 2, float("nan"), 4]}, "non_finite_box", 2),
    "huge int": (("annotations", 1), {"bbox": [10**400, 2, 3, 4]}, "non_finite_box", 2),
    "no width": (("annotations", 1), {"bbox": [1, 2, 0, 4]}, "no_area_box", 2),
    "negative height": (("annotations", 1), {"bbox": [1, 2, 3, -4]}, "no_area_box", 2),
    "tiny": (("annotations", 1), {"bbox": [1, 2, 1e-9, 4]}, "no_area_box", 2),
    "left of it": (("annotations", 1), {"bbox": [-9, 2, 8, 4]}, "outside_box", 2),
    "touches it": (("annotations", 1), {"bbox": [30, 2, 8, 4]}, "outside_box", 2),
    "over the edge": (("annotations", 1), {"bbox": [25, 2, 10, 4]}, "clipped_box", 3),
    "runaway": (("annotations", 1), {"bbox": [-1e300, -1e300, 2e300, 2e300]}, "clipped_box", 3),
    "area is NaN": (("annotations", 1), {"area": float("nan")}, "wrong_area", 3),
    "area of a city": (("annotations", 1), {"area": 1e9}, "wrong_area", 3),
    "same id": (("annotations", 1), {"id": 100}, "repeated_annotation_id", 3),
}


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_broken_entry_is_counted_and_listed(images_dir, case, caplog):
    (where, index), change, kind, num_boxes = BROKEN[case]
    (images_dir / "text.jpg").write_text("no image")
    (images_dir / "cut.png").write_bytes((images_dir / "a.png").read_bytes()[:20])
    Image.new("RGB", (WIDTH, HEIGHT)).save(images_dir / "c.eps")
    content = sound_content()
    if isinstance(change, dict):
        content = changed_content(where, index, **change)
    else:
        content[where][index] = change
    unchanged = copy.deepcopy(content)
    dataset = load_coco_json(images_dir, content, bounding_box_format="xyxy")
    report = dataset.report
    assert report.counts == {kind: 1}
    assert report.num_boxes == num_boxes
    assert_account_adds_up(report)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"({kind})" in record.getMessage()
    elements = elements_of(dataset)
    _, left_out = PROBLEM_KINDS[kind]
    assert len(elements) == len(dataset) == 3 - (left_out == "image")
    for element in elements.values():
        boxes = element["bounding_boxes"]["boxes"]
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert ((boxes >= 0) & (boxes <= [WIDTH, HEIGHT, WIDTH, HEIGHT])).all()
        assert (element["bounding_boxes"]["area"] <= HEIGHT * WIDTH).all()
    np.testing.assert_equal(content, unchanged)


class TestProblems:
    def test_boxes_of_a_missing_image_are_accounted_for(self, images_dir):
        content = changed_content("images", 0, file_name="gone.png")
        report = load_coco_json(images_dir, content).report
        assert report.counts == {"missing_file": 1, "box_of_dropped_image": 2}
        listed = {(problem.image_id, problem.annotation_id) for problem in report.problems}
        assert listed == {(10, None), (10, 100), (10, 101)}
        assert "gone.png" in report.problems[0].detail
        assert_account_adds_up(report)

    def test_files_of_one_id_are_left_out_with_its_boxes(self, images_dir):
        report = load_coco_json(images_dir, changed_content("images", 2, id=10)).report
        assert report.counts == {"ambiguous_image_id": 2, "box_of_dropped_image": 2}
        assert_account_adds_up(report)

    @pytest.mark.parametrize("name", ["a.png", "./sub/../a.png"])
    def test_one_file_of_two_ids_is_listed(self, images_dir, name):
        content = changed_content("images", 1, file_name=name)
        report = load_coco_json(images_dir, content).report
        assert report.counts == {"repeated_file": 1}
        assert report.num_boxes == 3
        (problem,) = report.problems
        assert problem.image_id == 11
        assert problem.detail == f"{images_dir}/a.png is image 10 too; none may have all boxes"
        assert_account_adds_up(report)

    def test_classes_without_boxes_are_named(self, images_dir):
        content = sound_content()
        del content["annotations"][0]
        report = load_coco_json(images_dir, content).report
        assert report.classes_without_boxes == ["seven"]
        assert str(report).endswith("\n  classes without boxes (1): 'seven'")
        many = ["three", *(f"class {number}" for number in range(12))]
        report = load_coco_json(images_dir, content, class_names=many).report
        assert report.classes_without_boxes == many[1:]
        named = "'class 0', 'class 1', 'class 2', ..."
        assert str(report).endswith(f"\n  classes without boxes (12): {named}")
        assert report.problems == []

    def test_repeated_annotation_is_left_out_once(self, images_dir):
        content = sound_content()
        content["annotations"].append(dict(content["annotations"][0]))
        dataset = load_coco_json(images_dir, content)
        assert dataset.report.counts == {"duplicate_annotation": 1}
        assert len(elements_of(dataset)[10]["bounding_boxes"]["boxes"]) == 2

    def test_clipped_area_is_the_visible_one(self, images_dir):
        content = changed_content("annotations", 2, bbox=[25, 10, 100, 5])
        element = elements_of(load_coco_json(images_dir, content, bounding_box_format="xywh"))[11]
        np.testing.assert_allclose(element["bounding_boxes"]["boxes"], [[25, 10, 5, 5]])
        np.testing.assert_allclose(element["bounding_boxes"]["area"], [25])

    def test_rounding_at_the_edge_is_no_problem(self, images_dir):
        content = changed_content("annotations", 2, bbox=[20.004, 5, 10.004, 5])
        assert load_coco_json(images_dir, content).report.problems == []

    def test_the_summary_names_numbers_kinds_and_examples(self, images_dir):
        content = sound_content()
        content["annotations"] += [{"id": i, "image_id": 5, "category_id": 3} for i in range(9)]
        text = str(load_coco_json(images_dir, content).report)
        assert "3 of 3 images (1 without boxes) and 3 of 12 boxes are used" in text
        assert "boxes of an image that isn't listed: 9, left out (unknown_image)" in text
        assert "image 5, annotation 2; ..." in text


class TestUncheckedFiles:
    def test_a_wrong_size_is_an_error_that_names_the_file(self, images_dir):
        content = changed_content("images", 0, height=21)
        dataset = load_coco_json(images_dir, content, is_checked=False)
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=r"a\.png.*20 30.*21 30.*is_checked"
        ):
            next(iter(dataset))

    def test_sizes_that_nobody_says_are_read(self, images_dir):
        content = changed_content("images", 0, height=..., width=...)
        dataset = load_coco_json(images_dir, content, is_checked=False)
        assert dataset.report.problems == []
        np.testing.assert_array_equal(elements_of(dataset)[10]["image_size"], [HEIGHT, WIDTH])


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"images": [', "can't be read as JSON.*cut off"),
            ("", "can't be read as JSON"),
            ("[" * 100_000, "can't be read as JSON"),
            ("1" * 10_000, "can't be read as JSON"),
            ("\x80\x81", "must hold|can't be read as JSON"),
            ("[]", r"must hold COCO-JSON, a dict.*Received: \[\]"),
            ("{}", "no 'images'"),
            ('{"images": {}, "annotations": [], "categories": []}', "'images' is {}"),
            ('{"images": [], "categories": []}', "no 'annotations'.*empty list"),
        ],
    )
    def test_files_that_are_not_coco_json(self, images_dir, text, message):
        path = images_dir / "broken.json"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(ValueError, match=rf"broken\.json.*{message}"):
            load_coco_json(images_dir, path)

    @pytest.mark.parametrize(
        ("categories", "message"),
        [
            ([], "'categories' is empty"),
            ([{"id": 1}], "a text 'name'"),
            ([{"id": "1", "name": "one"}], "a whole number 'id'"),
            ([None], "Received: None"),
            ([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], "stands for 'a' and for 'b'"),
        ],
    )
    def test_categories_that_would_renumber_the_classes(self, images_dir, categories, message):
        content = {**sound_content(), "categories": categories}
        with pytest.raises(ValueError, match=message):
            load_coco_json(images_dir, content)

    def test_a_file_without_end(self, images_dir):
        os.mkfifo(images_dir / "a.json")
        with pytest.raises(ValueError, match=r"a\.json.*is a named pipe"):
            load_coco_json(images_dir, images_dir / "a.json")

    def test_nothing_left(self, images_dir):
        (images_dir / "empty").mkdir()
        with pytest.raises(
            ValueError, match=r"(?s)No image can be used.*image files.*: 3, left out.*missing_file"
        ):
            load_coco_json(images_dir / "empty", sound_content())
        content = {**sound_content(), "categories": [{"id": 1, "name": "one"}]}
        with pytest.raises(ValueError, match=r"(?s)No box can be used.*category_id 7"):
            load_coco_json(images_dir, content)

    def test_no_annotations_are_no_error(self, images_dir, caplog):
        dataset = load_coco_json(images_dir, {**sound_content(), "annotations": []})
        (record,) = caplog.records
        message = record.getMessage()
        assert message.endswith(
            "there are no boxes: correct the annotations if there should be some"
        )
        assert dataset.report.num_empty_images == len(elements_of(dataset)) == 3

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"images_dir": "/nowhere"}, FileNotFoundError, "`images_dir`: there is no folder"),
            ({"images_dir": None}, ValueError, "`images_dir` must be the path"),
            ({"annotations": "/nowhere.json"}, FileNotFoundError, "there is no file '/nowhere"),
            ({"annotations": "/"}, ValueError, "can't be read as JSON"),
            ({"annotations": None}, ValueError, "`annotations` must hold COCO-JSON"),
            ({"bounding_box_format": "coco"}, ValueError, "Received: 'coco'"),
            ({"crowds": True}, ValueError, "`crowds` must be 'drop' or 'keep'"),
        ],
    )
    def test_arguments(self, images_dir, arguments, error, message):
        arguments = {"images_dir": images_dir, "annotations": sound_content(), **arguments}
        with pytest.raises(error, match=message):
            load_coco_json(**arguments)


@pytest.mark.parametrize(
    ("stored", "annotated"),
    [
        ("Dog.JPG", "dog.jpg"),
        ("caf\u00e9.jpg", "cafe\u0301.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("a dog.jpg", "a%20dog.jpg"),
        ("dog.jpg", "images\\train\\dog.jpg"),
        ("dog.jpg", "images/train/dog.jpg"),
        ("dog.PNG", "dog.jpg"),
        ("dog.jpg", "dog"),
        ("dog.jpg", "cat.jpg"),
    ],
)
def test_a_missing_file_names_the_one_that_is_meant(tmp_path, stored, annotated):
    for name in (stored, "other.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    names = enumerate((annotated, "other.jpg"), start=1)
    content = {
        "images": [{"id": number, "file_name": name} for number, name in names],
        "annotations": [{"id": 1, "image_id": 2, "category_id": 1, "bbox": [1, 1, 5, 5]}],
        "categories": [{"id": 1, "name": "dog"}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    (problem,) = load_coco_json(tmp_path, tmp_path / "annotations.json").report.problems
    assert problem.kind == "missing_file"
    hint = f", but there is {tmp_path / stored}"
    assert problem.detail.endswith(hint) == (annotated != "cat.jpg")


RELATIVE = {
    "corner and size": [[0.1, 0.2, 0.5, 0.4], [0, 0, 1, 1], [0.25, 0.5, 0.5, 0.5]],
    "center and size": [[0.5, 0.5, 0.9, 0.8], [0.5, 0.5, 1, 1], [0.8, 0.7, 0.3, 0.4]],
    "corners": [[0.1, 0.2, 0.6, 0.7], [0, 0, 1, 1], [0.25, 0.5, 0.75, 1]],
}


@pytest.mark.parametrize("boxes", RELATIVE.values(), ids=RELATIVE)
def test_relative_boxes_are_refused(images_dir, tmp_path, boxes):
    content = sound_content()
    for entry, box in zip(content["annotations"], boxes, strict=True):
        entry["bbox"] = box
    path = tmp_path / "relative.json"
    path.write_text(json.dumps(content))
    message = r"relative\.json: boxes .* lie in 0..1.* of 30x20 pixels, '.*a\.png': .*Multiply"
    for box_format in ("xyxy", "rel_xyxy"):
        with pytest.raises(ValueError, match=message):
            load_coco_json(images_dir, path, bounding_box_format=box_format)
    # One box in pixels, and the others are listed.
    content["annotations"][0]["bbox"] = [10, 5, 8, 9]
    report = load_coco_json(images_dir, content).report
    tiny = [problem for problem in report.problems if problem.kind == "tiny_box"]
    assert len(tiny) == sum(max(width, height) < 1 for *_, width, height in boxes[1:])
    assert report.num_boxes == 3


def test_boxes_of_a_pixel_are_taken(images_dir):
    content = sound_content()
    for entry in content["annotations"]:
        entry["bbox"] = [0, 0, 1, 1]
    assert not load_coco_json(images_dir, content).report.problems
    for name in ("a.png", "b.jpg", "sub/c.bmp"):
        Image.new("RGB", (8, 9)).save(images_dir / name)
    for image in content["images"]:
        image.update(height=9, width=8)
    content["annotations"][0]["bbox"] = [0.25, 0.5, 0.5, 0.5]
    assert not load_coco_json(images_dir, content).report.problems


def test_folders_of_windows_are_read(images_dir):
    (images_dir / "part").mkdir()
    (images_dir / "a.png").rename(images_dir / "part" / "a.png")
    report = load_coco_json(
        images_dir, changed_content("images", 0, file_name="part\\a.png")
    ).report
    assert report.problems == []
    with pytest.raises(ValueError, match="leads out of the folder"):
        load_coco_json(images_dir, changed_content("images", 0, file_name="..\\a.png"))


def with_group(supercategory, **changes):
    """Return content in which all categories are kinds of one that has no boxes."""
    content = sound_content()
    kinds = [{**entry, "supercategory": supercategory} for entry in content["categories"]]
    group = {"id": 0, "name": "animal", "supercategory": "none", **changes}
    return {**content, "categories": [group, *kinds]}


def test_a_group_of_all_classes_is_no_class(images_dir):
    expected = load_coco_json(images_dir, sound_content())
    dataset = load_coco_json(images_dir, with_group("animal"))
    assert dataset.class_names == expected.class_names
    assert dataset.category_ids == expected.category_ids
    assert dataset.report.counts == {"group_category": 1}
    assert "'animal', id 0" in str(dataset.report)
    # A class without boxes is none.
    for content in (with_group("none"), with_group("animal", name="bird")):
        assert len(load_coco_json(images_dir, content).class_names) == len(expected.class_names) + 1


def test_corners_in_the_place_of_sizes_are_told(images_dir):
    content = sound_content()
    image = content["images"][0]
    height, width = 40, 60
    image.update(height=height, width=width)
    Image.new("RGB", (width, height)).save(images_dir / image["file_name"])
    category_id = content["categories"][0]["id"]
    corners = [[30 + i, 20 + i, 50 + i, 35] for i in range(6)]
    for boxes, is_told in (
        (corners, True),
        (corners[:4], False),
        ([[x, y, right - x, bottom - y] for x, y, right, bottom in corners], False),
        ([*corners, [0, 0, 60, 40], [55, 30, 5, 10]], False),
    ):
        content["annotations"] = [
            {"id": i, "image_id": image["id"], "category_id": category_id, "bbox": box}
            for i, box in enumerate(boxes)
        ]
        report = load_coco_json(images_dir, content).report
        assert ("corners" in report.counts) == is_told
        assert report.num_boxes == len(boxes)


def test_files_that_no_entry_names_are_counted(images_dir):
    for name in ("d.JPG", "sub/e.png", "notes.txt"):
        (images_dir / name).write_bytes(b"")
    report = load_coco_json(images_dir, sound_content()).report
    assert report.num_unlisted_files == 2
    assert "image files there that no entry names: 2" in str(report)
    assert report.problems == []


def test_ids_that_are_no_numbers_are_named(images_dir):
    content = changed_content("annotations", 0, category_id="seven")
    (problem,) = load_coco_json(images_dir, content).report.problems
    assert problem.detail.startswith("ids must be whole numbers")
    assert "'seven'" in problem.detail
