"""Bad input to a detector: the error comes at the door, and shows what came."""

import logging
import re

import numpy as np
import pytest

from keras_detr.losses import HungarianLoss
from keras_detr.models.task import raw_images

from .detectors import DETECTORS, HEIGHT, NUM_CLASSES, NUM_QUERIES, WIDTH, inputs_of, tiny_batch

pytestmark = pytest.mark.every_backend


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request):
    """Give one row of the table."""
    return DETECTORS[request.param]


@pytest.fixture(scope="module")
def model(detector):
    """Give a compiled model that no test trains."""
    model = detector.build()
    model.compile(optimizer="sgd", run_eagerly=True)
    return model


def with_targets(**changes):
    batch = tiny_batch(batch_size=2)
    return {**batch, "bounding_boxes": {**batch["bounding_boxes"], **changes}}


def boxes_with(row):
    boxes = tiny_batch(batch_size=2)["bounding_boxes"]["boxes"].copy()
    boxes[0, 0] = row
    return boxes


def classes_with(label, dtype="int32"):
    classes = tiny_batch(batch_size=2)["bounding_boxes"]["classes"].astype(dtype)
    classes[0, 0] = label
    return classes


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"classes": classes_with(NUM_CLASSES)}, ("`classes`", "num_classes", "Received: 3")),
        ({"classes": classes_with(-2)}, ("`classes`", "Received: -2")),
        ({"classes": classes_with(0.5, "float32")}, ("`classes`", "Received: 0.5")),
        ({"boxes": np.zeros((2, 4), "float32")}, ("`boxes`", "(batch, N, 4)", "(2, 4)")),
        ({"boxes": np.zeros((2, 3, 5), "float32")}, ("`boxes`", "(2, 3, 5)")),
        ({"boxes": np.zeros((2, 2, 4), "float32")}, ("agree in length", "(2, 2, 4)")),
        ({"boxes": boxes_with((500, 10, 600, 20))}, ("500", "outside its image", "`xyxy`")),
        # Inside of the canvas, but in its padding.
        ({"boxes": boxes_with((80, 10, 90, 20))}, ("80", "outside its image", "(64, 72)")),
        ({"boxes": boxes_with((np.nan, 0, 1, 1))}, ("`boxes` must be finite", "nan")),
    ],
)
def test_bad_targets(model, changes, parts):
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"Received|lies outside") as raised:
            method(with_targets(**changes), verbose=0)
        for part in parts:
            assert part in str(raised.value)


def test_images_are_named_by_their_ids(model):
    ids = np.array([31, 32])
    batch = {**with_targets(boxes=boxes_with((500, 10, 600, 20))), "image_id": ids}
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"image 0 \(image_id 31\)"):
            method(batch, verbose=0)
    batch["images"][1, 3, 4, 0] = np.nan
    with pytest.raises(ValueError, match=r"batch \(image_id 32\) holds NaN"):
        model.predict(batch, verbose=0)


def test_bad_targets_of_validation_data(model):
    bad = with_targets(classes=classes_with(7))
    with pytest.raises(ValueError, match="Received: 7"):
        model.fit(with_targets(), validation_data=bad, verbose=0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_images_that_are_no_numbers(model, value):
    batch = tiny_batch(batch_size=2)
    batch["images"][1, 3, 4, 0] = value
    for method in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match="Image 1 of the batch holds NaN"):
            method(batch, verbose=0)


@pytest.mark.parametrize("shape", [(HEIGHT, 96, 3), (2, HEIGHT, 96, 1), (2, 3, HEIGHT, 96)])
def test_images_of_another_shape(model, shape):
    images = np.zeros(shape, "float32")
    for call in (model, model.predict):
        with pytest.raises(ValueError, match=re.escape(f"Received: {shape}")):
            call(images)
    with pytest.raises(ValueError, match=re.escape("(batch, height, width, 3)")):
        model.fit(images, tiny_batch(batch_size=2)["bounding_boxes"], verbose=0)


def test_inputs_without_images(model):
    with pytest.raises(ValueError, match=r"key 'images'.*\['image'\]"):
        model({"image": tiny_batch()["images"]})


def test_missing_targets(model):
    with pytest.raises(ValueError, match="Targets are missing"):
        model.fit(inputs_of(tiny_batch()), verbose=0)


def test_sample_weights(model):
    batch = tiny_batch(batch_size=2)
    with pytest.raises(ValueError, match="sample weights aren't supported"):
        model.fit(inputs_of(batch), batch["bounding_boxes"], sample_weight=np.ones(2), verbose=0)


def test_sample_weights_of_validation_data(model):
    batch = tiny_batch(batch_size=2)
    inputs, targets = inputs_of(batch), batch["bounding_boxes"]
    for validation_data in (
        (inputs, targets, np.ones(2)),
        (batch, None, np.ones(2)),
        iter([(inputs, targets, np.ones(2))]),
    ):
        with pytest.raises(ValueError, match="sample weights aren't supported"):
            model.fit(batch, validation_data=validation_data, verbose=0)


def test_a_rate_for_other_networks_is_told(detector, caplog):
    model = detector.build()
    with caplog.at_level(logging.WARNING, "keras_detr"):
        model.compile()
        assert not caplog.records
        model.compile("adam", run_eagerly=True)
    assert "`optimizer='adam'` has Keras' default rate" in caplog.text


def test_weights_of_classes(model):
    batch, weights = tiny_batch(batch_size=2), {0: 1.0, 1: 2.0, 2: 3.0}
    for data in (batch, iter([batch])):
        with pytest.raises(ValueError, match="`class_weight` must be left out"):
            model.fit(data, class_weight=weights, verbose=0)
    with pytest.raises(ValueError, match="`class_weight` must be left out"):
        model.train_on_batch(batch, class_weight=weights)


@pytest.mark.parametrize(
    "argument", [{"loss_weights": {"box": 2.0}}, {"weighted_metrics": ["accuracy"]}]
)
def test_weights_that_no_loss_would_use(detector, argument):
    model = detector.build(num_encoder_layers=1, num_decoder_layers=1)
    with pytest.raises(ValueError, match=rf"`{next(iter(argument))}` must be left out.*Received"):
        model.compile(**argument)
    model.compile(**dict.fromkeys(argument))


def test_more_objects_than_queries(detector):
    model = detector.build()
    model.compile(optimizer="sgd", loss=HungarianLoss.detr(assignment="host"), run_eagerly=True)
    count = NUM_QUERIES + 1
    boxes = np.tile(np.array((1, 1, 20, 20), "float32"), (2, count, 1))
    masks = np.ones((2, count, HEIGHT, WIDTH), bool)
    batch = with_targets(boxes=boxes, classes=np.zeros((2, count), "int32"), masks=masks)
    with pytest.raises(ValueError, match=f"{count} objects.*{NUM_QUERIES} queries"):
        model.evaluate(batch, verbose=0)


@pytest.mark.parametrize("assignment", ["auto", "in_graph"])
def test_an_image_with_more_objects_than_queries_is_named(detector, assignment):
    model = detector.build(num_encoder_layers=1, num_decoder_layers=1)
    loss = model.default_loss()
    loss.assignment = assignment
    model.compile(optimizer="sgd", loss=loss)
    count = NUM_QUERIES + 1
    boxes = np.tile(np.array((1, 1, 20, 20), "float32"), (2, count, 1))
    classes = np.zeros((2, count), "int32")
    # Neither padding nor a box without area needs a query.
    classes[0, 0], boxes[0, 1] = -1, (5, 5, 5, 9)
    batch = {
        **with_targets(
            boxes=boxes, classes=classes, masks=np.ones((2, count, HEIGHT, WIDTH), bool)
        ),
        "image_id": np.array([31, 32]),
    }
    for call in (
        lambda: model.fit(batch, verbose=0),
        lambda: model.evaluate(iter([batch]), verbose=0),
        lambda: model.fit(with_targets(), validation_data=batch, verbose=0),
        lambda: model.train_on_batch(batch),
        lambda: model.test_on_batch(batch),
    ):
        message = rf"image 1 \(image_id 32\) .* {count} objects, .* {NUM_QUERIES} queries"
        with pytest.raises(ValueError, match=message) as raised:
            call()
        assert len(str(raised.value)) < 300


def test_raw_images_without_tensorflow(model, monkeypatch):
    # Where it is installed, as if it weren't.
    monkeypatch.setattr(raw_images, "is_installed", lambda package: False)
    with pytest.raises(ImportError, match=r"resized by TensorFlow.*`pip install tensorflow"):
        model.predict([np.zeros((8, 9, 3), "uint8")])


@pytest.mark.parametrize("argument", ["box_loss", "classification_loss"])
def test_losses_of_other_detectors(model, argument):
    with pytest.raises(ValueError, match=r"loss=keras_detr\.HungarianLoss\("):
        model.compile(**{argument: "smoothl1"})


def test_a_loss_that_is_none_for_sets(model):
    with pytest.raises(ValueError, match=r"`loss` must be.*'mse'"):
        model.compile(loss="mse")


def test_a_metric_that_is_none(model):
    with pytest.raises(ValueError, match=r"`metrics` must be.*'accuracy'"):
        model.compile(metrics=["accuracy"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bounding_box_format": None}, "`bounding_box_format` is missing"),
        ({"bounding_box_format": "xyhw"}, "must be one of .*'rel_center_xywh'.*Received: 'xyhw'"),
        ({"num_classes": 0}, "`num_classes` must be an integer of at least 1.*Received: 0"),
        ({"num_classes": 2.0}, r"`num_classes`.*Received: 2\.0"),
        ({"class_names": ("cat", "dog")}, "`class_names`.*each of 3 classes. Received: 2 names"),
        ({"class_names": "cat"}, "`class_names` must be a list.*'cat'"),
        ({"class_names": ("cat", "dog", "cat")}, "`class_names`.*'cat' at the positions 0 and 2"),
        ({"class_names": (0, 1, 2)}, "`class_names`.*0, of the type int"),
        ({"preprocessor_sizes": 800}, "`preprocessor_sizes` must be.*Received: 800"),
        ({"preprocessor_sizes": ()}, r"`preprocessor_sizes` must be.*Received: \(\)"),
        ({"preprocessor_sizes": (800, 640)}, r"`preprocessor_sizes`.*Received: \(800, 640\)"),
        ({"preprocessor_sizes": (0, None)}, r"`preprocessor_sizes`.*Received: \(0, None\)"),
        ({"preprocessor_sizes": ("800", 1333)}, "`preprocessor_sizes`.*Received: .'800', 1333"),
        ({"num_heads": 5}, "`num_heads` must divide.*num_heads=5, size 32"),
        ({"backbone": "resnet50"}, "`backbone` must have `pyramid_level_inputs`.*'resnet50'"),
    ],
)
def test_bad_arguments(detector, arguments, message):
    with pytest.raises(ValueError, match=message):
        detector.build(**arguments)
