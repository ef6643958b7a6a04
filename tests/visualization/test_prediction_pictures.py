"""Pictures in TensorBoard's files, read back with TensorBoard itself."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from keras_detr.visualization import PredictionPictures, plot_comparison
from tests.models.detectors import inputs_of, tiny_batch, tiny_detr

NAMES = ["cat", "dog", "tree"]


def events_of(folder):
    """Return the events of a folder's only file, those with pictures."""
    loader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_file_loader",
        reason="tensorboard isn't installed",
    )
    (file,) = folder.iterdir()
    events = list(loader.LegacyEventFileLoader(str(file)).Load())
    return [event for event in events if event.HasField("summary")]


@pytest.mark.every_backend
def test_pictures_of_a_training(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard isn't installed")
    batch = tiny_batch(batch_size=2)
    model = tiny_detr(class_names=NAMES)
    pictures = PredictionPictures(tmp_path / "logs", batch, every=2, confidence_threshold=0.1)
    # What `fit` does, without the training.
    pictures.set_model(model)
    for epoch in range(4):
        pictures.on_epoch_end(epoch, {})
    pictures.on_train_end({})
    events = events_of(tmp_path / "logs")
    # Steps count from 0, as those of keras.callbacks.TensorBoard.
    assert [event.step for event in events] == [1, 3]
    expected = plot_comparison(
        batch["images"],
        batch["bounding_boxes"],
        model.predict(inputs_of(batch), verbose=0),
        "xyxy",
        NAMES,
        confidence_threshold=0.1,
        pixel_mask=batch["pixel_mask"],
    )
    expected.canvas.draw()
    (value,) = events[-1].summary.value
    assert value.tag == "predictions"
    with Image.open(io.BytesIO(value.image.encoded_image_string)) as picture:
        assert picture.size == (value.image.width, value.image.height)
        np.testing.assert_array_equal(np.asarray(picture), expected.canvas.buffer_rgba())


def test_another_format_than_the_models_is_told_before_training(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard isn't installed")
    batch = {**tiny_batch(batch_size=2), "bounding_box_format": "rel_xyxy"}
    model = tiny_detr(class_names=NAMES)
    model.compile()
    pictures = PredictionPictures(tmp_path / "logs", batch)
    with pytest.raises(ValueError, match=r"the model takes boxes as `xyxy`.*entry: `rel_xyxy`"):
        model.fit(tiny_batch(batch_size=2), callbacks=[pictures], verbose=0)


def test_without_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer", None)
    with pytest.raises(ImportError, match="`pip install tensorboard`"):
        PredictionPictures(tmp_path, tiny_batch())


def test_bad_arguments(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard isn't installed")
    with pytest.raises(ValueError, match=r"`every` must be at least 1\. Received: 0"):
        PredictionPictures(tmp_path, tiny_batch(), every=0)
    with pytest.raises(ValueError, match=r"needs 'bounding_boxes' beside 'images'.*ndarray"):
        PredictionPictures(tmp_path, tiny_batch()["images"])
