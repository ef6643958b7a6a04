"""Images of another range than the backbone takes are told, once."""

import keras
import numpy as np
import pytest

from tests.models.detectors import inputs_of, patch_backbone, tiny_backbone, tiny_batch, tiny_detr

pytestmark = pytest.mark.every_backend


@pytest.fixture(scope="module")
def model():
    return compiled()


def compiled(**overrides):
    model = tiny_detr(num_encoder_layers=1, num_decoder_layers=1, **overrides)
    model.compile(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    return model


def scaled(factor):
    batch = tiny_batch(batch_size=2)
    return {**batch, "images": batch["images"] * np.float32(factor)}


def told(caplog, beginning="`images`: the values of a batch"):
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return [line for line in lines if line.startswith(beginning)]


@pytest.mark.once
@pytest.mark.parametrize(("factor", "message"), [(1 / 255, "black"), (257, "white")])
def test_each_call_tells_once(model, caplog, factor, message):
    batch = scaled(factor)
    for call in (
        lambda: model.fit(batch, epochs=2, batch_size=1, verbose=0),
        lambda: model.fit(iter([batch, batch]), steps_per_epoch=2, verbose=0),
        lambda: model.evaluate(batch, verbose=0),
        lambda: model.predict(batch, verbose=0),
        lambda: model.predict(iter([batch, batch]), steps=2, verbose=0),
    ):
        call()
        (line,) = told(caplog)
        assert message in line


def test_validation_data_are_told(model, caplog):
    model.fit(scaled(1), validation_data=scaled(1 / 255), verbose=0)
    assert len(told(caplog)) == 1


def test_single_batches_are_told_once_for_a_model(caplog):
    model, batch = compiled(), scaled(1 / 255)
    model.predict_on_batch(inputs_of(scaled(1)))
    assert not told(caplog)
    for call in (model.predict_on_batch, model.train_on_batch, model.test_on_batch):
        call(batch)
    assert len(told(caplog)) == 1


@pytest.mark.parametrize(
    ("factor", "include_rescaling", "is_told"),
    [
        (1, True, False),
        (1.1, True, False),
        (0, True, False),
        (1 / 255, False, False),
        (1, False, True),
    ],
)
def test_the_backbone_says_what_it_takes(caplog, factor, include_rescaling, is_told):
    model = compiled(backbone=tiny_backbone(include_rescaling=include_rescaling))
    model.evaluate(scaled(factor), verbose=0)
    assert len(told(caplog)) == is_told


def test_a_layer_that_rescales_says_it_too(caplog):
    compiled(backbone=patch_backbone()).evaluate(scaled(1 / 255), verbose=0)
    assert len(told(caplog)) == 1


@pytest.mark.once
def test_data_sets_are_told(model, caplog):
    tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")
    dataset = tf.data.Dataset.from_tensors(scaled(1 / 255)).repeat(2)
    for call in (model.fit, model.evaluate, model.predict):
        call(dataset, verbose=0)
        assert told(caplog)


def test_padding_without_a_mask_is_told_once_by_each_call(caplog):
    model, batch = compiled(), scaled(1)
    batch["images"] = np.random.default_rng(0).uniform(0, 255, batch["images"].shape)
    batch["images"][:, 48:] = 0
    beginning = "`images`: 2 of 2 images of a batch end in a band of one colour"
    without = {**batch}
    without.pop("pixel_mask", None)
    for call in (
        lambda batch: model.fit(batch, epochs=2, verbose=0),
        lambda batch: model.evaluate(iter([batch, batch]), steps=2, verbose=0),
        lambda batch: model.predict(batch, verbose=0),
        model.predict_on_batch,
    ):
        call({**without, "pixel_mask": np.ones(batch["images"].shape[:3], "uint8")})
        assert not told(caplog, beginning)
        call(without)
        assert len(told(caplog, beginning)) == 1
    model.predict_on_batch(without)
    assert not told(caplog, beginning)
