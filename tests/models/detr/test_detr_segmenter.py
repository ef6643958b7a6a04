"""DETR with masks: which masks are computed, of raw images, of panoptic segments."""

import json

import keras
import numpy as np
import pytest
from keras import ops

import keras_detr
from keras_detr.layers import SetPredictionDecoder
from keras_detr.models import DETRSegmenter
from tests.models.detectors import (
    HEIGHT,
    NUM_QUERIES,
    WIDTH,
    inputs_of,
    patch_backbone,
    tiny_batch,
    tiny_detr_segmenter,
)
from tests.one_program import in_one_program, outputs_of

pytestmark = pytest.mark.every_backend

# (height, width) of raw images. They aren't resized, which would need TensorFlow.
SIZES = ((40, 60), (90, 60), (60, 60))


def raw_images():
    generator = np.random.default_rng(0)
    return [generator.integers(0, 255, (*size, 3)).astype("uint8") for size in SIZES]


@pytest.fixture(scope="module")
def model():
    """Give a model that no test changes, whose masks aren't all alike."""
    keras.utils.set_random_seed(0)
    model = tiny_detr_segmenter(
        preprocessor_sizes=None, class_names=["cat", "dog", "sky"], is_thing=[True, True, False]
    )
    model.mask_head.output_convolution.bias.assign([0.1])
    return model


def least_confidence(model, most):
    """Return a threshold that so many detections of an image reach, and fewer of the others."""
    confidence = model.predict(inputs_of(tiny_batch()), verbose=0)["confidence"]
    return float(confidence[:, most - 1].max()) - 1e-4


def test_the_loss_of_matched_masks_is_that_of_all(model):
    batch = tiny_batch()
    inputs = inputs_of(batch)
    targets = model.encode_targets(inputs, batch["bounding_boxes"])
    loss = model.default_loss()

    def parts(inputs, targets):
        matched = model(inputs, targets=targets)
        return loss.components(targets, model(inputs)), loss.components(targets, matched)

    everything, matched = (
        {name: float(ops.convert_to_numpy(value)) for name, value in found.items()}
        for found in in_one_program(parts)(inputs, targets)
    )
    assert matched == pytest.approx(everything, rel=1e-5)
    assert matched["dice_loss"] > 0
    masks = outputs_of(model, inputs, targets=targets)["matched_mask"]
    assert masks.shape == (4, 3, HEIGHT // 4, WIDTH // 4)


def test_masks_of_raw_images(model):
    images = raw_images()
    found = model.predict(images, verbose=0)
    assert "mask_logits" not in found
    assert [len(masks) for masks in found["masks"]] == [NUM_QUERIES] * 3
    assert [masks[0]["size"] for masks in found["masks"]] == [list(size) for size in SIZES]
    # Those of the batch, in the image's size.
    logits = model.predict_on_batch(images[1][None].astype("float32"))["mask_logits"][0]
    sizes = dict.fromkeys(("canvas_size", "unpadded_size", "image_size"), SIZES[1])
    expected = keras_detr.inference.instance_masks(ops.convert_to_numpy(logits), **sizes)
    masks = keras_detr.inference.decode_masks(found["masks"][1], image_size=SIZES[1])
    # Alone or in a batch, pixels at a mask's edge may round to either side.
    assert (masks != expected).mean() < 1e-3
    assert 0.01 < masks.mean() < 0.99


def test_detections_have_masks_down_to_the_threshold(model):
    confidence = model.predict(raw_images(), verbose=0)["confidence"]
    detections = model.detect(raw_images(), confidence_threshold=float(np.median(confidence)))
    assert 0 < sum(map(len, detections)) < 3 * NUM_QUERIES
    for found, size in zip(detections, SIZES, strict=True):
        assert len(found.masks) == len(found)
        assert found.dense_masks().shape == (len(found), *size)
        assert json.loads(json.dumps(found.to_dict()))["masks"] == found.masks
    everything = model.detect(raw_images(), confidence_threshold=0.0)
    for found, complete in zip(detections, everything, strict=True):
        dense = complete.dense_masks()[: len(found)]
        assert (found.dense_masks() != dense).sum() <= 1e-3 * dense.size


def test_masks_below_the_decoders_threshold_are_not_computed(model, monkeypatch):
    threshold = least_confidence(model, most=4)
    decoder = SetPredictionDecoder(
        "xyxy", max_detections=NUM_QUERIES, confidence_threshold=threshold
    )
    monkeypatch.setattr("keras_detr.layers.detr.confident_masks._QUERIES_AT_ONCE", 2)
    other = DETRSegmenter.from_config({**model.get_config(), "prediction_decoder": decoder})
    other.set_weights(model.get_weights())
    inputs = inputs_of(tiny_batch())
    found = other.predict(inputs, verbose=0)
    everything = model.predict(inputs, verbose=0)
    has_mask = (found["mask_logits"] > -100).any(axis=(2, 3))
    is_confident = np.arange(NUM_QUERIES) < found["num_detections"][:, None]
    assert found["num_detections"].max() == 4
    assert has_mask[is_confident].all()
    assert has_mask.sum(axis=1).max() == 4
    np.testing.assert_allclose(
        found["mask_logits"][has_mask], everything["mask_logits"][has_mask], rtol=1e-4, atol=1e-5
    )


def test_segments(model):
    images = raw_images()
    found = model.segment(images, confidence_threshold=0.0, fewest_pixels=3)
    for one, size in zip(found, SIZES, strict=True):
        segment_map = one.segment_map()
        assert segment_map.shape == size
        # Nothing is left out, so every pixel is of a segment.
        assert [s["id"] for s in one.segments] == np.unique(segment_map).tolist()
        assert [s["area"] for s in one.segments] == np.bincount(segment_map.ravel())[1:].tolist()
        for segment in one.segments:
            assert segment["name"] == ("cat", "dog", "sky")[segment["class"]]
            assert segment["is_thing"] == (segment["class"] < 2)
        assert json.loads(json.dumps(one.to_dict()))["segments"] == one.segments
        assert f"{len(one)} segment" in repr(one)
    (nothing,) = model.segment(images[0], confidence_threshold=1.0)
    assert not nothing.segment_map().any()
    assert len(nothing) == 0


@pytest.mark.once
def test_files_that_cannot_be_read(model, tmp_path, caplog):
    (tmp_path / "a.png").write_bytes(b"no picture")
    (found,) = model.segment(tmp_path)
    assert "a.png" in found.error
    assert found.error in caplog.text
    assert found.to_dict()["segments"] == []
    with pytest.raises(ValueError, match=r"There are no segments: .*a\.png"):
        found.segment_map()
    (found,) = model.detect(tmp_path)
    with pytest.raises(ValueError, match=r"There are no masks: .*a\.png"):
        found.dense_masks()


def test_only_the_mask_head_learns():
    model = tiny_detr_segmenter()
    model.freeze_detector()
    parts = {variable.path.split("/")[0] for variable in model.trainable_variables}
    assert parts == {"mask_attention", "mask_head"}


@pytest.mark.parametrize("is_thing", [[True], [1, 1, 0], "yes"])
def test_kinds_of_classes_that_do_not_fit(is_thing):
    with pytest.raises(ValueError, match=r"`is_thing` must .* 3 classes"):
        tiny_detr_segmenter(is_thing=is_thing)


def test_a_backbone_of_too_few_levels():
    with pytest.raises(ValueError, match=r"at least 4 levels.*\['P4', 'P5'\]"):
        tiny_detr_segmenter(backbone=patch_backbone((4, 5)))


def test_targets_without_masks():
    model = tiny_detr_segmenter(num_encoder_layers=1, num_decoder_layers=1)
    model.compile(run_eagerly=True)
    batch = tiny_batch()
    del batch["bounding_boxes"]["masks"]
    for call in (model.train_on_batch, model.test_on_batch, model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"must have 'masks' too.*`keras_detr\.DETR`"):
            call(batch)
