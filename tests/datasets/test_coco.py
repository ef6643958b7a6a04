# ruff: noqa: E402
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import tensorflow_datasets as tfds
from PIL import Image

from keras_detr.checkpoints import COCO_PANOPTIC_CATEGORY_IDS
from keras_detr.datasets import load_coco
from keras_detr.datasets.coco_features import elements_from_builder
from keras_detr.ops.boxes import BOX_FORMATS, convert_box_format
from tests.datasets.coco_mini import (
    SPLITS,
    panoptic_images,
    prepare_coco_mini,
    prepare_panoptic_coco_mini,
    read_annotations,
    split_paths,
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    tfds.disable_progress_bar()
    folder = tmp_path_factory.mktemp("tfds")
    prepare_coco_mini(folder)
    return folder


def expected_by_image(split, is_crowd_kept):
    content = read_annotations(split)
    labels = {entry["id"]: label for label, entry in enumerate(content["categories"])}
    images = {image["id"]: {"info": image, "objects": []} for image in content["images"]}
    for entry in sorted(content["annotations"], key=lambda entry: entry["id"]):
        if is_crowd_kept or not entry["iscrowd"]:
            label = labels[entry["category_id"]]
            row = (*entry["bbox"], label, entry["area"], entry["iscrowd"])
            images[entry["image_id"]]["objects"].append(row)
    return images


@pytest.mark.realdata
@pytest.mark.parametrize("split", sorted(SPLITS))
@pytest.mark.parametrize("crowds", [None, "keep", "drop"])
class TestEqualsTheAnnotations:
    def test_every_box_label_area_crowd_and_id(self, data_dir, split, crowds):
        dataset = load_coco(split, data_dir=data_dir, bounding_box_format="xywh", crowds=crowds)
        is_crowd_kept = crowds == "keep" or (crowds is None and split == "validation")
        expected = expected_by_image(split, is_crowd_kept)
        assert len(dataset) == len(expected)
        seen, num_boxes, num_crowds = set(), 0, 0
        for element in dataset.as_numpy_iterator():
            image = expected[int(element["image_id"])]
            found = element["bounding_boxes"]
            objects = np.array(image["objects"], np.float64).reshape(-1, 7)
            # float32 fractions of at most 640 pixels.
            np.testing.assert_allclose(found["boxes"], objects[:, :4], atol=2e-4)
            np.testing.assert_array_equal(found["classes"], objects[:, 4])
            # TFDS keeps areas as whole numbers.
            np.testing.assert_array_equal(found["area"], np.floor(objects[:, 5]))
            np.testing.assert_array_equal(found["is_crowd"], objects[:, 6])
            size = (image["info"]["height"], image["info"]["width"])
            np.testing.assert_array_equal(element["image_size"], size)
            assert element["images"].shape == (*size, 3)
            seen.add(int(element["image_id"]))
            num_boxes += len(objects)
            num_crowds += int(found["is_crowd"].sum())
        assert seen == set(expected)
        assert num_boxes == sum(len(image["objects"]) for image in expected.values()) > 300
        assert (num_crowds > 0) == is_crowd_kept


@pytest.mark.realdata
class TestLoadCoco:
    def test_images_without_boxes_are_kept(self, data_dir):
        dataset = load_coco("train", data_dir=data_dir)
        counts = [len(e["bounding_boxes"]["classes"]) for e in dataset.as_numpy_iterator()]
        assert counts.count(0) == 2

    def test_pixels_are_those_of_pil(self, data_dir):
        names = {image["id"]: image["file_name"] for image in read_annotations("train")["images"]}
        for element in load_coco("train[:5]", data_dir=data_dir).as_numpy_iterator():
            path = split_paths("train")[0] / names[int(element["image_id"])]
            pixels = np.asarray(Image.open(path).convert("RGB"), np.float32)
            assert element["images"].dtype == np.uint8
            # Two builds of libjpeg may round a few pixels apart.
            assert np.abs(element["images"] - pixels).mean() < 0.02

    @pytest.mark.parametrize("bounding_box_format", sorted(BOX_FORMATS))
    def test_every_box_format(self, data_dir, bounding_box_format):
        as_asked = load_coco(
            "validation[:4]", data_dir=data_dir, bounding_box_format=bounding_box_format
        )
        as_xywh = load_coco("validation[:4]", data_dir=data_dir, bounding_box_format="xywh")
        pairs = tf.data.Dataset.zip(as_asked, as_xywh).as_numpy_iterator()
        for asked, xywh in pairs:
            there = convert_box_format(
                asked["bounding_boxes"]["boxes"],
                bounding_box_format,
                "xywh",
                asked["image_size"],
                np.stack,
            )
            np.testing.assert_allclose(there, xywh["bounding_boxes"]["boxes"], atol=2e-4)

    def test_class_names_are_those_of_the_80_labels(self, data_dir):
        names = [entry["name"] for entry in read_annotations("train")["categories"]]
        assert load_coco("train", data_dir=data_dir).class_names == names
        assert len(names) == 80

    def test_category_ids_are_those_of_the_annotations(self, data_dir):
        ids = [entry["id"] for entry in read_annotations("train")["categories"]]
        assert load_coco("validation", data_dir=data_dir).category_ids == tuple(ids)

    @pytest.mark.parametrize(
        ("split", "number"), [("train[:10]", 10), ("train[:5]+train[7:9]", 7), ("test", 1)]
    )
    def test_split_strings(self, data_dir, split, number):
        assert len(load_coco(split, data_dir=data_dir)) == number

    def test_training_splits_are_shuffled_unasked(self, data_dir):
        def order_of(split, **settings):
            dataset = load_coco(split, data_dir=data_dir, **settings)
            return [[int(e["image_id"]) for e in dataset.as_numpy_iterator()] for _ in range(2)]

        first, second = order_of("train")
        stored, again = order_of("train", shuffle_files=False)
        assert stored == again
        assert sorted(first) == sorted(second) == sorted(stored)
        assert len({tuple(order) for order in (first, second, stored)}) == 3
        first, second = order_of("train[:9]+validation[:9]", crowds="keep")
        assert first == second

    def test_unclear_crowds_are_refused(self, data_dir):
        with pytest.raises(ValueError, match=r"`crowds='drop'`.*`crowds='keep'`"):
            load_coco("train+validation", data_dir=data_dir)
        both = load_coco("train+validation", data_dir=data_dir, crowds="keep")
        assert len(both) == 77
        with pytest.raises(ValueError, match=r"`crowds` must be .* Received: True"):
            load_coco("train", data_dir=data_dir, crowds=True)
        with pytest.raises(ValueError, match="`split` must be one TFDS split"):
            load_coco(["train"], data_dir=data_dir)

    def test_unknown_format_is_refused(self, data_dir):
        with pytest.raises(ValueError, match="Received: 'coco'"):
            load_coco("train", data_dir=data_dir, bounding_box_format="coco")


@pytest.fixture(scope="module")
def panoptic_dir(tmp_path_factory):
    tfds.disable_progress_bar()
    folder = tmp_path_factory.mktemp("panoptic")
    prepare_panoptic_coco_mini(folder)
    return folder


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
class TestMasks:
    @pytest.mark.parametrize(("split", "crowds"), [("train", None), ("validation", "keep")])
    def test_every_object_has_the_mask_of_its_color(self, panoptic_dir, split, crowds):
        dataset = load_coco(
            split, data_dir=panoptic_dir, masks=True, bounding_box_format="xywh", crowds=crowds
        )
        expected = {image_id: rest for image_id, *rest in panoptic_images(split)}
        seen, num_crowds, labels = set(), 0, set()
        for element in dataset.as_numpy_iterator():
            ids, segments = expected[int(element["image_id"])]
            segments = [s for s in segments if crowds == "keep" or not s["iscrowd"]]
            found = element["bounding_boxes"]
            assert {len(rows) for rows in found.values()} == {len(segments)}
            assert found["masks"].dtype == bool
            assert found["masks"].shape[1:] == element["images"].shape[:2]
            for segment, mask in zip(segments, found["masks"], strict=True):
                np.testing.assert_array_equal(mask, ids == segment["id"])
            boxes = np.array([segment["bbox"] for segment in segments]).reshape(-1, 4)
            np.testing.assert_allclose(found["boxes"], boxes, atol=2e-4)
            category_ids = [dataset.category_ids[label] for label in found["classes"]]
            assert category_ids == [segment["category_id"] for segment in segments]
            seen.add(int(element["image_id"]))
            num_crowds += int(found["is_crowd"].sum())
            labels |= set(category_ids)
        assert seen == set(expected)
        assert (num_crowds > 0) == (crowds == "keep")
        assert 187 in labels
        assert len(labels) > 40

    def test_classes_are_things_and_stuff(self, panoptic_dir):
        dataset = load_coco("validation", data_dir=panoptic_dir, masks=True)
        assert dataset.category_ids == COCO_PANOPTIC_CATEGORY_IDS
        assert dataset.class_names == [f"category {i}" for i in COCO_PANOPTIC_CATEGORY_IDS]
        assert len(dataset.class_names) == 133

    def test_unprepared_data_set_is_named(self, data_dir):
        with pytest.raises(FileNotFoundError, match=r"load\('coco/2017_panoptic'"):
            load_coco("train", data_dir=data_dir, masks=True, is_downloaded=False)


@pytest.mark.parametrize(
    ("panoptic_image", "message"),
    [
        (b"no image", r"The image.*a\.png.*be decoded as PNG"),
        (np.zeros((8, 9, 3), np.uint8), r"The panoptic image.*a\.png.*8 9.*its image of.*8 8"),
    ],
)
def test_a_panoptic_image_that_cannot_be_used_is_named(panoptic_image, message):
    if not isinstance(panoptic_image, bytes):
        panoptic_image = tf.io.encode_png(panoptic_image).numpy()

    class Builder:
        class info:
            label = type("Label", (), {"names": ["cat"]})
            features = {"panoptic_objects": {"label": label}}  # noqa: RUF012

        def as_dataset(self, **settings):
            objects = {
                "id": np.zeros((1, 1), np.int64),
                "bbox": np.zeros((1, 1, 4), np.float32),
                "label": np.zeros((1, 1), np.int64),
                "area": np.zeros((1, 1), np.int64),
                "is_crowd": np.zeros((1, 1), bool),
            }
            features = {
                "image": [tf.io.encode_jpeg(np.zeros((8, 8, 3), np.uint8)).numpy()],
                "image/filename": ["a.jpg"],
                "image/id": [1],
                "panoptic_image": [panoptic_image],
                "panoptic_image/filename": ["a.png"],
                "panoptic_objects": objects,
            }
            return tf.data.Dataset.from_tensor_slices(features)

    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        list(elements_from_builder(Builder(), "validation"))


def test_unprepared_data_set_names_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}.*may not be downloaded.*`data_dir`"):
        load_coco("train", data_dir=tmp_path, is_downloaded=False)


def test_unreachable_server_is_said_at_once(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}.*no route to host.*prepare it"):
        load_coco("train", data_dir=tmp_path)
