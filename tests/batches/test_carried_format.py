"""The format that batches carry: compared with the model's at every way into it."""

import keras
import numpy as np
import pytest

from tests.models.detectors import Batches, tiny_batch, tiny_detr

pytestmark = pytest.mark.every_backend

BATCH = tiny_batch(batch_size=2)
MESSAGE = "the model takes boxes as .*xyxy.*Received the entry:.*xywh"
CARRIED = {
    "one": "{}".format,
    "one array": lambda name: np.array(name.encode(), object),
    "an array": lambda name: np.array([name.encode()] * 2, object),
    "text": lambda name: np.array([name] * 2),
    "a list": lambda name: [name] * 2,
    "the second": lambda name: ["xyxy", name],
}


@pytest.fixture(scope="module")
def model():
    """Give a compiled model that takes "xyxy"."""
    model = tiny_detr(num_encoder_layers=1, num_decoder_layers=1)
    model.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    return model


def carrying(name, carried="an array"):
    return {**BATCH, "bounding_box_format": CARRIED[carried](name)}


@pytest.mark.parametrize("carried", CARRIED)
def test_every_way_that_it_may_come(model, carried):
    model.test_on_batch(carrying("xyxy", carried))
    model.predict_on_batch(carrying("xyxy", carried))
    for batch in (carrying("xywh", carried), carrying("unknown", carried)):
        with pytest.raises(ValueError, match=r"takes boxes as `xyxy`.* `(xywh|unknown)`\.$"):
            model.test_on_batch(batch)


def test_every_way_into_a_model(model):
    good, bad = carrying("xyxy"), carrying("xywh")
    as_pair = {"images": bad["images"], "bounding_box_format": "xywh"}, bad["bounding_boxes"]
    for call in (model.fit, model.evaluate):
        for data in (good, Batches(good), BATCH):
            call(data, verbose=0)
        for data in (bad, Batches(bad), iter([bad]), Batches(as_pair)):
            with pytest.raises(ValueError, match=MESSAGE):
                call(data, verbose=0)
        with pytest.raises(ValueError, match=MESSAGE):
            call(*as_pair, verbose=0)
    with pytest.raises(ValueError, match=MESSAGE):
        model.fit(good, validation_data=bad, verbose=0)
    with pytest.raises(ValueError, match=MESSAGE):
        model.train_on_batch(bad)


@pytest.mark.once
def test_data_sets_of_tensorflow(model):
    tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")
    good, bad = (tf.data.Dataset.from_tensors(carrying(name)) for name in ("xyxy", "xywh"))
    model.evaluate(good, verbose=0)
    model.test_on_batch(next(iter(good)))
    assert len(model.predict(good, verbose=0)["boxes"]) == 2
    with pytest.raises(tf.errors.InvalidArgumentError, match=MESSAGE):
        model.evaluate(bad, verbose=0)
    with pytest.raises(ValueError, match=MESSAGE):
        model.test_on_batch(next(iter(bad)))


@pytest.mark.parametrize(("is_pair", "is_collated"), [(False, True), (True, False)])
def test_loaders_of_torch(model, is_pair, is_collated):
    data = pytest.importorskip("torch", reason="torch isn't installed").utils.data

    def element(index, name):
        x = {"images": BATCH["images"][index], "bounding_box_format": name, "path": "a.jpg"}
        bounding_boxes = {key: column[index] for key, column in BATCH["bounding_boxes"].items()}
        return (x, bounding_boxes) if is_pair else {**x, "bounding_boxes": bounding_boxes}

    def loader(name):
        elements = [element(index, name) for index in range(2)]
        collate = None if is_collated else batch_of_lists
        return data.DataLoader(elements, batch_size=2, collate_fn=collate)

    model.fit(loader("xyxy"), validation_data=loader("xyxy"), verbose=0)
    assert len(model.predict(loader("xyxy"), verbose=0)["boxes"]) == 2
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=MESSAGE):
            call(loader("xywh"), verbose=0)


def batch_of_lists(elements):
    """Return a batch of torch's tensors where images have different numbers of boxes."""
    pairs = [
        each if isinstance(each, tuple) else (each, each["bounding_boxes"]) for each in elements
    ]
    inputs = {key: [x[key] for x, _ in pairs] for key in pairs[0][0] if key != "bounding_boxes"}
    inputs["images"] = np.stack(inputs["images"])
    boxes = {
        key: [column[key][: 1 + index] for index, (_, column) in enumerate(pairs)]
        for key in ("boxes", "classes")
    }
    return (
        (inputs, boxes) if isinstance(elements[0], tuple) else {**inputs, "bounding_boxes": boxes}
    )


def test_a_model_does_not_see_it(model):
    expected = model({name: BATCH[name] for name in ("images", "pixel_mask")})
    found = model(carrying("xyxy"))
    np.testing.assert_allclose(*(keras.ops.convert_to_numpy(o["box"]) for o in (found, expected)))
