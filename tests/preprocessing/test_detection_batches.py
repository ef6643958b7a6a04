"""Batches for training and evaluation, made of a loaded data set in one call."""

import re

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import keras_detr
from keras_detr.datasets import load_folder
from keras_detr.evaluation import evaluate_detector
from keras_detr.preprocessing import (
    DETRAugmentation,
    evaluation_batches,
    scaled_canvases,
    training_batches,
)
from tests.datasets.folders_of_layouts import (
    PARTS,
    write_coco,
    write_voc,
    write_voc_of_roboflow,
    write_yolo,
)
from tests.models.detectors import tiny_detr

FORMAT = {"bounding_box_format": "rel_xyxy"}
SIZES = (80, 120)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder")
    write_coco(folder)
    return load_folder(folder, **FORMAT)


def test_training_batches_are_endless_and_padded(data):
    batches = training_batches(data.train, SIZES, batch_size=2, seed=0, **FORMAT)
    canvases = scaled_canvases(SIZES[0], longest_side=SIZES[1])
    seen = set()
    for batch in batches.take(20).as_numpy_iterator():
        assert batch["images"].shape[1:3] in canvases
        assert batch["bounding_boxes"]["boxes"].shape == (2, data.train.report.most_boxes, 4)
        short_sides = batch["pixel_mask"].any(2).sum(1), batch["pixel_mask"].any(1).sum(1)
        assert np.minimum(*short_sides).max() <= 80
        seen |= set(batch["image_id"].tolist())
    assert len(seen) == len(PARTS["train"])


@pytest.mark.parametrize("write", [write_yolo, write_voc, write_voc_of_roboflow])
def test_each_layout_trains_on_the_same_batches(write, tmp_path):
    batches = []
    for write_layout in (write_coco, write):
        folder = tmp_path / write_layout.__name__
        folder.mkdir()
        write_layout(folder)
        keras.utils.set_random_seed(7)
        batches.append(list(first_batches(load_folder(folder, **FORMAT).train)))
    for batch, other in zip(*batches, strict=True):
        np.testing.assert_array_equal(batch["images"], other["images"])
        for name in ("boxes", "classes"):
            rows, others = (x["bounding_boxes"][name] for x in (batch, other))
            np.testing.assert_allclose(rows, others, atol=1e-5)


def first_batches(dataset):
    """Return twice as many images as there are, which the second time are augmented anew."""
    batches = training_batches(dataset, SIZES, batch_size=2, seed=1, **FORMAT)
    return batches.take(len(PARTS["train"])).as_numpy_iterator()


def test_a_detector_trains_on_them(data):
    backbone = keras_detr.ResNetBackbone(18, name="resnet18")
    sizes = {"hidden_dim": 16, "num_heads": 2, "feed_forward_dim": 16, "num_queries": 4}
    layers = {"num_encoder_layers": 1, "num_decoder_layers": 1}
    model = keras_detr.DETR(backbone, 2, **FORMAT, **sizes, **layers, class_names=data.class_names)
    model.compile()
    train = training_batches(data.train, (32, 48), batch_size=5, **FORMAT)
    valid = evaluation_batches(data.valid, (32, 48), **FORMAT)
    history = model.fit(train, steps_per_epoch=1, validation_data=valid, verbose=0).history
    assert np.isfinite(history["val_loss"]).all()


def test_evaluation_batches_have_each_image_once_and_whole(data):
    batches = list(evaluation_batches(data.train, SIZES, 2, **FORMAT).as_numpy_iterator())
    ids = [image_id for batch in batches for image_id in batch["image_id"].tolist()]
    assert sorted(ids) == sorted(data.train.file_names)
    truth = {
        int(element["image_id"]): element["bounding_boxes"]["boxes"]
        for element in data.train.as_numpy_iterator()
    }
    for batch in batches:
        for image_id, boxes in zip(
            batch["image_id"].tolist(), batch["bounding_boxes"]["boxes"], strict=True
        ):
            wanted = truth[image_id]
            np.testing.assert_allclose(boxes[: len(wanted)], wanted, atol=1e-6)


@pytest.mark.parametrize("sizes", [SIZES, None])
def test_images_one_by_one_are_unpadded(data, sizes):
    batches = evaluation_batches(data.train, sizes, None, **FORMAT)
    assert batches.class_names == data.class_names
    seen = []
    for batch in batches.as_numpy_iterator():
        assert "pixel_mask" not in batch
        height, width = batch["image_size"][0]
        wanted = (height, width)
        if sizes is not None:
            ratio = min(80 / min(wanted), 120 / max(wanted))
            wanted = (round(height * ratio), round(width * ratio))
        np.testing.assert_allclose(batch["images"].shape, (1, *wanted, 3), atol=1)
        assert (batch["bounding_boxes"]["classes"] >= 0).all()
        seen += batch["image_id"].tolist()
    assert sorted(seen) == sorted(data.train.file_names)


def test_images_of_all_sizes_make_no_batches(data):
    with pytest.raises(ValueError, match="`batch_size` must be None where `sizes` is"):
        evaluation_batches(data.valid, None, **FORMAT)


def test_a_model_of_other_classes_refuses_them(data):
    assert training_batches(data.train, SIZES, **FORMAT).class_names == data.class_names
    batches = evaluation_batches(data.valid, SIZES, **FORMAT)
    model = tiny_detr(num_classes=2, class_names=("dog", "cat"), **FORMAT)
    with pytest.raises(ValueError, match="class_names"):
        evaluate_detector(model, batches)


def test_more_boxes_on_demand(data):
    batch = next(iter(evaluation_batches(data.valid, SIZES, max_boxes=7, **FORMAT)))
    assert batch["bounding_boxes"]["classes"].shape == (1, 7)


@pytest.mark.parametrize("function", [training_batches, evaluation_batches])
def test_a_data_set_without_a_report_needs_the_number(function, data):
    with pytest.raises(ValueError, match="`max_boxes` is missing"):
        function(data.train.take(2), SIZES, **FORMAT)
    assert function(data.train.take(2), SIZES, max_boxes=3, **FORMAT)


@pytest.mark.parametrize("function", [training_batches, evaluation_batches])
@pytest.mark.parametrize("sizes", [128, "48", (48,), (48, 40), (0, 80), (48.5, 80), ("48", 80)])
def test_sizes_are_a_pair(function, sizes, data):
    with pytest.raises(ValueError, match=f"`sizes` must be a pair .*{re.escape(repr(sizes))}"):
        function(data.train, sizes, **FORMAT)
    with pytest.raises(ValueError, match=r"`batch_size` must be an int .* Received: '4'"):
        function(data.train, SIZES, "4", **FORMAT)


@pytest.mark.parametrize("function", [training_batches, evaluation_batches])
def test_a_part_of_the_data_is_needed(function, data):
    with pytest.raises(ValueError, match=r"such as `data\.train` .*Received: FolderData"):
        function(data, SIZES, **FORMAT)
    with pytest.raises(ValueError, match=r"must be that of the data set, '.*'\. Received: 'yxyx'"):
        function(data.train, SIZES, bounding_box_format="yxyx")


def test_batches_without_end_need_a_number_of_steps(data):
    model = tiny_detr(num_classes=2, class_names=data.class_names, **FORMAT)
    model.compile(run_eagerly=True)
    endless = training_batches(data.train, SIZES, 2, **FORMAT)
    message = "`{}` must be given for a data set that repeats without end"
    with pytest.raises(ValueError, match=message.format("steps_per_epoch")):
        model.fit(endless, verbose=0)
    with pytest.raises(ValueError, match=message.format("validation_steps")):
        model.fit(endless, steps_per_epoch=1, validation_data=endless, verbose=0)
    with pytest.raises(ValueError, match=message.format("steps")):
        model.evaluate(endless, verbose=0)


def test_an_augmentation_is_scaled_in_all_its_sizes():
    half = DETRAugmentation.scaled_to((400, 667), bounding_box_format="xyxy", seed=3)
    assert half.short_sides == tuple(range(240, 401, 16))
    assert half.longest_side == 667
    assert half.crop_short_sides == (200, 250, 300)
    assert half.crop_sizes == (192, 300)
    assert half.seed == 3


def test_the_papers_size_gives_the_papers_augmentation():
    scaled = DETRAugmentation.scaled_to((800, 1333), bounding_box_format="xyxy", name="same")
    paper = DETRAugmentation(bounding_box_format="xyxy", name="same")
    assert scaled.get_config() == paper.get_config()
