"""The format that batches carry: compared with the model's at every way into it."""

import keras
import numpy as np
import pytest

from tests.models.detectors import Batches, tiny_batch, tiny_detr

pytestmark = pytest.mark.every_backend

BATCH = tiny_batch(batch_size=2)
MESSAGE = "the model takes boxes as .*xyxy.*bounding_box_format=.*Received the entry:.*xywh"
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
        with pytest.raises(ValueError, match=r"takes boxes as 'xyxy'.* '(xywh|unknown)'\.$"):
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


def test_a_model_does_not_see_it(model):
    expected = model({name: BATCH[name] for name in ("images", "pixel_mask")})
    found = model(carrying("xyxy"))
    np.testing.assert_allclose(*(keras.ops.convert_to_numpy(o["box"]) for o in (found, expected)))
