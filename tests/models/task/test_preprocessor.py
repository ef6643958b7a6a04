"""Which preprocessor a detector has, and what `predict` does without one."""

import keras
import numpy as np
import pytest

from tests.models.detectors import patch_backbone, tiny_backbone, tiny_detr

pytestmark = pytest.mark.every_backend

# The first and the third have one size.
SIZES = ((64, 96), (96, 64), (64, 96))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (*size, 3)).astype("uint8") for size in SIZES]


def detector(**settings):
    model = tiny_detr(
        backbone=patch_backbone(), num_encoder_layers=1, num_decoder_layers=1, **settings
    )
    model.compile(run_eagerly=True)
    return model


def test_without_a_preprocessor_images_keep_their_size(images, monkeypatch, caplog):
    model = detector()
    model.preprocessor = None
    assert model.preprocessor is None
    alone = [model.predict(image[None], verbose=0) for image in images]
    sizes = []
    predict_on_batch = model.predict_on_batch
    monkeypatch.setattr(
        model,
        "predict_on_batch",
        lambda inputs: sizes.append(inputs["images"].shape) or predict_on_batch(inputs),
    )
    together = model.predict(images)
    # Images of one size go together.
    assert sizes == [(2, 64, 96, 3), (1, 96, 64, 3)]
    for index in range(3):
        for name, values in alone[index].items():
            np.testing.assert_allclose(together[name][index], values[0], atol=1e-3)
    del sizes[:]
    model.predict(images, batch_size=1)
    assert [shape[0] for shape in sizes] == [1, 1, 1]
    # It was asked for, so there is nothing to say.
    assert not caplog.records


def test_a_dilated_backbone_is_trained_unpadded():
    assert tiny_detr(backbone=tiny_backbone(dilation=True)).is_trained_unpadded
    assert not tiny_detr(backbone=tiny_backbone()).is_trained_unpadded
    assert not detector().is_trained_unpadded


def test_files_are_detected_without_a_preprocessor(images):
    model = detector(preprocessor_sizes=None)
    expected = model.predict(images)
    for row, found in enumerate(model.detect(images, confidence_threshold=0.0)):
        np.testing.assert_allclose(found.boxes, expected["boxes"][row], atol=1e-3)


def test_that_there_is_none_is_saved(tmp_path):
    model = tiny_detr()
    model.preprocessor = None
    model.save_to_preset(tmp_path / "preset")
    model.save(tmp_path / "model.keras")
    for loaded in (
        type(model).from_preset(tmp_path / "preset"),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        assert loaded.preprocessor_sizes is None
        assert loaded.preprocessor is None
    again = type(model).from_preset(tmp_path / "preset", preprocessor_sizes=(64, 96))
    assert again.preprocessor_sizes == (64, 96)


@pytest.mark.parametrize("wrong", [(800, 1333), "resize", keras.layers.Rescaling(1.0)])
def test_what_is_no_preprocessor_is_refused(wrong):
    model = detector()
    with pytest.raises(ValueError, match=r"`preprocessor` must be a .*DETRPreprocessor`, or None"):
        model.preprocessor = wrong
    assert model.preprocessor_sizes == (800, 1333)
