"""Raw images that `predict` gets as an array aren't resized as a list is, which is told once."""

import keras
import numpy as np
import pytest

from tests.models.detectors import Batches, tiny_batch, tiny_detr

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
    return [line for line in lines if line.startswith("`x`: a batch of whole numbers")]


@pytest.mark.parametrize(
    "as_input",
    [
        lambda images: images,
        lambda images: images.astype("int64"),
        keras.ops.convert_to_tensor,
        lambda images: {"images": images},
    ],
)
def test_another_size_is_told_once(model, caplog, as_input):
    for _ in range(2):
        model.predict(as_input(RAW), verbose=0)
    (line,) = told(caplog)
    assert "of (height, width) (64, 96)" in line
    assert "here to (32, 48) (`preprocessor_sizes` (32, 96))" in line
    assert "`list(images)`" in line


def test_what_was_prepared_is_not_told(model, caplog):
    for x in (
        RAW.astype("float32"),
        {"images": RAW, "pixel_mask": np.ones(RAW.shape[:3], "uint8")},
        RAW[:, :32, :48],
        Batches((RAW,)),
    ):
        model.predict(x, verbose=0)
    model.predict_on_batch(RAW)
    assert not told(caplog)


def test_lists_of_scaled_images_are_refused(model):
    with pytest.raises(ValueError, match=r"all of this one are in 0\.\.1.*Multiply it by 255"):
        model.predict([RAW[0], RAW[1] / 255])
