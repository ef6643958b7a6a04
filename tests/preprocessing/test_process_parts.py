# ruff: noqa: E402
"""Batches of which each process reads its own part."""

import json
import os
import pathlib

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from keras_detr.datasets import ShapesConfig, load_coco_json, load_folder, load_shapes
from keras_detr.ops.backends.interface import Process
from keras_detr.preprocessing import (
    DETRAugmentation,
    evaluation_batches,
    training_batches,
    undecoded_elements,
)
from keras_detr.preprocessing.random_draws import drawing_from
from tests.datasets.folders_of_layouts import write_coco

FORMAT = {"bounding_box_format": "rel_xyxy"}
SIZES = (80, 120)
NUM_BATCHES = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder")
    write_coco(folder)
    path = folder / "train" / "_annotations.coco.json"
    content = json.loads(path.read_text())
    content["annotations"][1]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def in_order(folder):
    """Images of PNG files in their order, with masks and a crowd."""
    annotations = folder / "train" / "_annotations.coco.json"
    return load_coco_json(folder / "train", annotations, masks=True, **FORMAT)


@pytest.fixture(scope="module")
def shuffled(folder):
    return load_folder(folder, masks=True, **FORMAT).train


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Encoded images of TFDS, in random order."""
    config = ShapesConfig(num_train=6, num_validation=1, min_side=40, max_side=80)
    return load_shapes("train", data_dir=tmp_path_factory.mktemp("tfds"), config=config, **FORMAT)


def first_batches(dataset, number=NUM_BATCHES, part=None, **settings):
    """Return batches of all processes, or the rows that one of two has, as `fit` reads them."""
    settings = {"batch_size": 4, "seed": 3, "max_boxes": 9, **settings}
    batches = training_batches(dataset, SIZES, **settings, **FORMAT)
    if part is not None:
        batches = batches.rows_of_process(Process(part, 2))
    return list(batches.take(number).as_numpy_iterator())


def assert_same(batches, others):
    for batch, other in zip(batches, others, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, batch, other)


@pytest.mark.parametrize("name", ["shuffled", "examples"])
def test_the_parts_together_are_the_batches_of_one_process(name, request):
    dataset = request.getfixturevalue(name)
    parts = [first_batches(dataset, part=index) for index in range(2)]
    together = [
        tf.nest.map_structure(lambda *rows: np.concatenate(rows), *batch)
        for batch in zip(*parts, strict=True)
    ]
    assert len({batch["images"].shape for batch in together}) > 1
    assert_same(together, first_batches(dataset))


def test_they_are_the_batches_of_a_data_set_of_decoded_images(in_order):
    decoded = in_order.map(lambda element: element)
    assert_same(first_batches(in_order), first_batches(decoded))


def test_the_order_follows_from_the_seed(shuffled):
    first, other = (first_batches(shuffled, seed=seed) for seed in (3, 4))
    ids, others = ([b["image_id"].tolist() for b in batches] for batches in (first, other))
    assert ids != others


def test_each_iterator_is_augmented_anew(in_order):
    batches = training_batches(in_order, SIZES, seed=0, **FORMAT)
    first, second = ([b["images"] for b in batches.take(3).as_numpy_iterator()] for _ in range(2))
    assert any(
        image.shape != other.shape or (image != other).any()
        for image, other in zip(first, second, strict=True)
    )


def test_a_size_is_drawn_as_with_pixels():
    augmentation = DETRAugmentation.scaled_to(SIZES, **FORMAT)
    image = np.zeros((53, 71, 3), np.uint8)
    sizes = set()
    for seed in range(40):
        seed = tf.constant([seed, 5], tf.int64)
        size = drawing_from(augmentation.size_after, tf.constant(image.shape[:2]), seed)
        found = drawing_from(augmentation, {"images": tf.constant(image)}, seed)["images"].shape
        assert tuple(size.numpy()) == found[:2]
        sizes.add(found[:2])
    assert len(sizes) > 10


@pytest.mark.parametrize("encode", [tf.io.encode_jpeg, tf.io.encode_png])
def test_the_size_of_an_example_is_known_before_it_is_decoded(examples, encode):
    features = {"image": encode(np.zeros((5, 7, 3), np.uint8)), "image/filename": "a.jpg"}
    assert examples.undecoded.size(features).numpy().tolist() == [5, 7]


class TestOwnFiles:
    """A process works without the files of the others."""

    @pytest.fixture
    def own(self, tmp_path):
        write_coco(tmp_path)
        data = load_folder(tmp_path, **FORMAT)

        def keep(image_ids):
            for image_id, path in data.train.file_names.items():
                if image_id not in image_ids:
                    os.remove(path)

        return data.train, keep

    def test_in_training(self, own):
        dataset, keep = own
        (wanted,) = first_batches(dataset, 1, part=1)
        keep(set(wanted["image_id"].tolist()))
        assert len(list(pathlib.Path(dataset.report.source).parent.glob("*.png"))) <= 2
        assert_same(first_batches(dataset, 1, part=1), [wanted])
        with pytest.raises(tf.errors.InvalidArgumentError, match="be read"):
            first_batches(dataset, 1, part=0)

    def test_in_evaluation(self, own):
        dataset, keep = own
        batches = evaluation_batches(dataset, SIZES, 1, **FORMAT)

        def seen():
            own = batches.batches_of_process(Process(1, 2))
            return {int(batch["image_id"][0]) for batch in own}

        ids = seen()
        keep(ids)
        assert len(ids) == 2
        assert seen() == ids


@pytest.mark.parametrize("settings", [(SIZES, 2), (SIZES, None), (None, None)])
def test_evaluation_shares_batches_in_turn(in_order, settings):
    batches = evaluation_batches(in_order, *settings, **FORMAT)
    wanted = list(batches.as_numpy_iterator())
    assert len({batch["images"].shape for batch in wanted}) > 2
    assert len(batches) == len(wanted)
    for index in range(3):
        own = batches.batches_of_process(Process(index, 3))
        assert own.class_names == in_order.class_names
        assert len(own) == len(wanted[index::3])
        assert_same(own.as_numpy_iterator(), wanted[index::3])


def test_evaluation_of_examples_in_random_order(examples):
    """All images are those of one process, whatever their order."""
    batches = evaluation_batches(examples, SIZES, 2, max_boxes=9, **FORMAT)
    parts = [batches.batches_of_process(Process(index, 2)) for index in range(2)]
    found = [int(n) for part in parts for batch in part for n in batch["image_id"]]
    assert sorted(found) == sorted(int(element["image_id"]) for element in examples)


def test_processes_take_the_seed_of_the_first(shuffled, monkeypatch):
    # A loop of one's own asks for its rows.
    wanted = first_batches(shuffled, 2, seed=11, process=(1, 2))
    monkeypatch.setattr(undecoded_elements, "gather", lambda own: [own, own] if own > 1e9 else [11])
    assert_same(first_batches(shuffled, 2, seed=None, part=1), wanted)


def test_another_order_in_another_process_is_refused(shuffled, monkeypatch):
    monkeypatch.setattr(undecoded_elements, "gather", lambda own: [own, 7])
    with pytest.raises(ValueError, match=r"in the same order.*set_random_seed.*, 7\]"):
        first_batches(shuffled, part=0)


def test_what_cannot_be_read_in_parts_is_read_whole(in_order, folder):
    annotations = folder / "train" / "_annotations.coco.json"
    skipping = load_coco_json(folder / "train", annotations, broken_images="skip", **FORMAT)
    for dataset in (in_order.map(lambda element: element), skipping):
        batches = training_batches(dataset, SIZES, max_boxes=9, seed=0, **FORMAT)
        assert not hasattr(batches, "rows_of_process")
        assert not hasattr(
            evaluation_batches(dataset, SIZES, max_boxes=9, **FORMAT), "batches_of_process"
        )
    with pytest.raises(ValueError, match=r"`process` must be None .*'find' does"):
        training_batches(skipping, SIZES, seed=0, process=(0, 2), **FORMAT)
    odd = training_batches(in_order, SIZES, 3, seed=0, **FORMAT)
    assert odd.rows_of_process(Process(0, 2)) is None


def test_processes_pad_to_the_most_boxes(in_order):
    batches = training_batches(in_order, SIZES, 4, max_boxes=(3, 9), seed=0, **FORMAT)
    own = batches.rows_of_process(Process(0, 2))
    assert own.is_part_of_process
    assert own.element_spec["bounding_boxes"]["classes"].shape == (None, 9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 3, "process": (0, 2)}, "`batch_size` is the number .*Received: 3"),
        ({"process": (2, 2)}, r"`process` must be the index .*Received: \(2, 2\)"),
        ({"process": (0,)}, r"`process` must be the index .*Received: \(0,\)"),
        ({"process": (0, 2), "seed": None}, "`seed` must be an int where `process` is given"),
    ],
)
def test_wrong_parts_are_refused(in_order, settings, message):
    with pytest.raises(ValueError, match=message):
        first_batches(in_order, **settings)
