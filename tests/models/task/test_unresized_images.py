"""Batches that `predict` doesn't resize as it would a list of their images, which is told once."""

import keras
import numpy as np
import pytest

from tests.models.detectors import Batches, tiny_batch, tiny_detr
from tests.models.task.test_first_batch import KINDS

pytestmark = pytest.mark.every_backend

RAW = tiny_batch(batch_size=2)["images"].astype("uint8")


@pytest.fixture
def model():
    model = tiny_detr(num_encoder_layers=1, num_decoder_layers=1, preprocessor_sizes=(32, 96))
    model.compile(run_eagerly=True)
    return model


def told(caplog):
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return [line for line in lines if line.startswith("`x`: `predict` doesn't resize")]


@pytest.mark.parametrize(
    "as_input",
    [
        lambda images: images,
        lambda images: images.astype("int64"),
        lambda images: images.astype("float32"),
        keras.ops.convert_to_tensor,
        lambda images: {"images": images},
        lambda images: [images],
    ],
)
def test_another_size_is_told_once(model, caplog, as_input):
    for _ in range(2):
        model.predict(as_input(RAW), verbose=0)
    (line,) = told(caplog)
    assert "here images of (height, width) (64, 96)" in line
    assert "are resized, here to (32, 48)" in line
    for way in ("`predict(list(images))`", "`model.detect(images)`", "'pixel_mask'"):
        assert way in line
    assert "`preprocessor_sizes`, now (32, 96)" in line


@pytest.mark.parametrize("kind", KINDS)
def test_data_sets_are_told_of_too(model, caplog, kind):
    batch = {"images": RAW.astype("float32")}
    model.predict(KINDS[kind](batch, batch), steps=2, verbose=0)
    model.predict(RAW, verbose=0)
    assert len(told(caplog)) == 1


def test_what_was_prepared_is_not_told(model, caplog):
    masked = {"images": RAW, "pixel_mask": np.ones(RAW.shape[:3], "uint8")}
    resized = RAW[:, :32, :48]
    for x in (masked, Batches((masked,)), resized, resized.astype("float32"), Batches((resized,))):
        model.predict(x, verbose=0)
    # Images that were resized and rounded differ by a pixel.
    model.predict(RAW[:, :32, :47], verbose=0)
    model.predict_on_batch(RAW)
    model.preprocessor = None
    model.predict(RAW, verbose=0)
    assert not told(caplog)


def test_training_and_evaluation_are_not_told_of(model, caplog):
    batch = tiny_batch(batch_size=2)
    del batch["pixel_mask"]
    model.fit(batch, verbose=0)
    model.evaluate(batch, verbose=0)
    assert not told(caplog)


def test_lists_of_scaled_images_are_refused(model):
    with pytest.raises(ValueError, match=r"all of this one are in 0\.\.1.*Multiply it by 255"):
        model.predict([RAW[0], RAW[1] / 255])
