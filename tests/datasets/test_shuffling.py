"""Training images come in random order, and none waits in memory for it."""

# ruff: noqa: E402
import os

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from PIL import Image

from keras_detr.datasets import broken_images, load_coco_json, load_voc, load_yolo
from keras_detr.datasets.coco_features import elements_from_builder
from keras_detr.preprocessing import bucketed_batches

NUM_IMAGES = 12


def order_of(dataset):
    return [int(element["image_id"]) for element in dataset.as_numpy_iterator()]


def write_images(folder, number, suffix="jpg"):
    folder.mkdir(parents=True)
    for index in range(number):
        Image.new("RGB", (8, 8)).save(folder / f"{index:03d}.{suffix}")


def yolo(folder, split, **settings):
    if not folder.joinpath("data.yaml").exists():
        write_images(folder / "images", NUM_IMAGES)
        (folder / "data.yaml").write_text("train: images\nval: images\nnames: [cat]")
        (folder / "labels").mkdir()
        (folder / "labels/000.txt").write_text("0 0.5 0.5 0.5 0.5")
    return load_yolo(folder, split, **settings)


def voc(folder, split, **settings):
    if not folder.joinpath("JPEGImages").exists():
        write_images(folder / "JPEGImages", NUM_IMAGES)
        (folder / "Annotations").mkdir()
        (folder / "ImageSets/Main").mkdir(parents=True)
    names = "\n".join(f"{index:03d}" for index in range(NUM_IMAGES))
    (folder / f"ImageSets/Main/{split}.txt").write_text(names)
    return load_voc(folder, split, class_names=["cat"], **settings)


@pytest.mark.parametrize(
    ("load", "split", "is_shuffled"),
    [
        (yolo, "train", True),
        (yolo, "validation", False),
        (voc, "train", True),
        (voc, "trainval", True),
        (voc, "val", False),
    ],
)
def test_training_splits_are_shuffled_unasked(load, split, is_shuffled, tmp_path):
    in_order = list(range(NUM_IMAGES))
    dataset = load(tmp_path, split)
    passes = [order_of(dataset) for _ in range(3)]
    assert all(sorted(order) == in_order for order in passes)
    assert all(order == in_order for order in passes) != is_shuffled
    assert (passes[0] == passes[1] == passes[2]) != is_shuffled
    assert len(dataset) == NUM_IMAGES
    assert order_of(load(tmp_path, split, shuffle_files=False)) == in_order


def test_a_broken_image_of_tfds_is_named(tmp_path):
    class Builder:
        """Stand for a builder whose second image is broken."""

        class info:
            features = {"objects": {"label": type("Label", (), {"names": ["cat"]})}}  # noqa: RUF012

        def as_dataset(self, **settings):
            image = tf.io.encode_jpeg(np.zeros((8, 8, 3), np.uint8)).numpy()
            objects = {
                "bbox": np.zeros((2, 1, 4), np.float32),
                "label": np.zeros((2, 1), np.int64),
                "area": np.zeros((2, 1), np.int64),
                "is_crowd": np.zeros((2, 1), bool),
            }
            features = {
                "image": [image, image[:200]],
                "image/filename": ["a.jpg", "b.jpg"],
                "image/id": [1, 2],
                "objects": objects,
            }
            return tf.data.Dataset.from_tensor_slices(features)

    elements = iter(elements_from_builder(Builder(), "validation"))
    assert next(elements)["images"].shape == (8, 8, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"The image.*b\.jpg.*be decoded"):
        next(elements)


def test_few_images_are_decoded_before_the_first_batch(tmp_path, monkeypatch):
    """A buffer of decoded images, or a pass to measure them, would take all of them."""
    number = 300
    # TensorFlow leaves this kind to the function that is counted.
    write_images(tmp_path / "images", number, "bmp")
    content = {
        "images": [{"id": i, "file_name": f"{i:03d}.bmp"} for i in range(number)],
        "annotations": [],
        "categories": [{"id": 1, "name": "cat"}],
    }
    train = load_coco_json(tmp_path / "images", content, shuffle_files=True)
    decoded, read = [], broken_images.rgb_of_picture

    def counted(picture, **settings):
        decoded.append(picture.filename)
        return read(picture, **settings)

    monkeypatch.setattr(broken_images, "rgb_of_picture", counted)
    batches = bucketed_batches(train.repeat(), [(8, 8)], batch_size=2)
    assert not decoded
    batches = iter(batches)
    next(batches)
    # Some are decoded ahead, in all cores.
    assert 2 <= len(decoded) <= 20 + 8 * os.cpu_count()
    # The first batch may have been all that there was time for: two images may well be in order.
    for _ in range(9):
        next(batches)
    assert len(decoded) >= 20
    assert decoded[:20] != sorted(decoded[:20])
