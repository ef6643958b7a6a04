"""Raw images of any sizes are predicted in one call."""

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the preprocessor needs tensorflow")

from keras_detr.preprocessing import DETRPreprocessor
from tests.models.detectors import tiny_backbone, tiny_detr

# The first and the third share a canvas.
SIZES = ((40, 60), (60, 40), (41, 60), (50, 50), (30, 90))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (*size, 3)).astype(np.uint8) for size in SIZES]


def detector(bounding_box_format="xyxy", **overrides):
    model = tiny_detr(bounding_box_format=bounding_box_format, **overrides)
    model.preprocessor = DETRPreprocessor(
        64, longest_side=110, bounding_box_format=bounding_box_format
    )
    return model


@pytest.mark.every_backend
def test_boxes_are_in_pixels_of_each_image_in_its_order(images):
    model = detector()
    # As few canvases as show it: each is a program to compile.
    images = images[:3]
    together = model.predict(images, batch_size=2)
    assert together["boxes"].shape == (3, 10, 4)
    for index, image in enumerate(images):
        # On the same canvas: what lies beside an image isn't quite nothing to a convolution.
        ((_, batch),) = model.preprocessor.batches([image], batch_size=2)
        inputs = {name: batch[name] for name in ("images", "pixel_mask")}
        alone = model.predict(inputs, verbose=0)
        # The sizes before and after, by which a box in pixels scales.
        mask = batch["pixel_mask"][0]
        height, width = mask[:, 0].sum(), mask[0].sum()
        scale = np.array([image.shape[1] / width, image.shape[0] / height] * 2)
        np.testing.assert_allclose(
            together["boxes"][index], alone["boxes"][0] * scale, atol=1e-3 * max(image.shape)
        )
        np.testing.assert_allclose(together["confidence"][index], alone["confidence"][0], atol=1e-4)


def test_relative_boxes_stay_relative_to_the_image(images):
    weights = detector().get_weights()
    found = {}
    for box_format in ("xyxy", "rel_xyxy"):
        model = detector(box_format)
        model.set_weights(weights)
        found[box_format] = model.predict(images)["boxes"]
    sides = np.array([[width, height] * 2 for height, width in SIZES])[:, None]
    np.testing.assert_allclose(found["rel_xyxy"] * sides, found["xyxy"], atol=1e-3)


def test_a_dilated_backbone_sees_no_padding(images, monkeypatch):
    model = detector(backbone=tiny_backbone(dilation=True))
    masks = []
    predict_on_batch = model.predict_on_batch
    monkeypatch.setattr(
        model,
        "predict_on_batch",
        lambda inputs: masks.append(inputs["pixel_mask"]) or predict_on_batch(inputs),
    )
    model.predict(images)
    assert [len(mask) for mask in masks] == [1] * 5
    assert all(mask.all() for mask in masks)


def test_the_preprocessor_is_no_layer_of_the_model():
    model = tiny_detr()
    layers, number = len(model.layers), len(model.variables)
    preprocessor = model.preprocessor
    assert (preprocessor.short_side, preprocessor.longest_side) == (800, 1333)
    assert preprocessor.bounding_box_format == "xyxy"
    assert model.preprocessor is preprocessor
    assert (len(model.layers), len(model.variables)) == (layers, number)


def test_a_preprocessor_is_assigned():
    model = tiny_detr()
    first = model.preprocessor
    layers, number = len(model.layers), len(model.variables)
    chosen = DETRPreprocessor(64, longest_side=None, bounding_box_format="xyxy")
    model.preprocessor = chosen
    assert model.preprocessor is chosen
    assert model.preprocessor_sizes == (64, None)
    assert (len(model.layers), len(model.variables)) == (layers, number)
    model.preprocessor = None
    model.preprocessor_sizes = (32, 64)
    assert (model.preprocessor.short_side, model.preprocessor.longest_side) == (32, 64)
    model.preprocessor = first
    assert model.preprocessor is first


def test_sizes_of_a_preprocessor_are_saved(tmp_path):
    model = detector()
    assert model.preprocessor_sizes == (64, 110)
    model.save_to_preset(tmp_path / "preset")
    model.save(tmp_path / "model.keras")
    for loaded in (
        type(model).from_preset(tmp_path / "preset"),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        preprocessor = loaded.preprocessor
        assert (preprocessor.short_side, preprocessor.longest_side) == (64, 110)
        assert preprocessor.bounding_box_format == "xyxy"


@pytest.mark.parametrize("wrong", [[], np.zeros((0, 5, 5, 3))])
def test_no_images_is_an_error(wrong):
    with pytest.raises(ValueError, match="at least one image"):
        DETRPreprocessor(bounding_box_format="xyxy")(wrong)
    if isinstance(wrong, list):
        with pytest.raises(ValueError, match="at least one image"):
            tiny_detr().predict(wrong)


def test_grey_images_are_refused():
    with pytest.raises(ValueError, match=r"\(5, 5, 1\) for image 1"):
        DETRPreprocessor(bounding_box_format="xyxy")([np.zeros((5, 5, 3)), np.zeros((5, 5, 1))])


def test_raw_images_are_padded_together():
    came = [np.full((20, 30, 3), 9, np.uint8), np.full((30, 10, 3), 7, np.uint8)]
    batch = DETRPreprocessor(20, longest_side=30, bounding_box_format="xyxy")(came)
    assert batch["images"].shape == (2, 30, 30, 3)
    np.testing.assert_array_equal(batch["image_size"], [[20, 30], [30, 10]])
    np.testing.assert_array_equal(batch["pixel_mask"].sum((1, 2)), [20 * 30, 30 * 10])
    assert np.all(batch["images"][0, :20] == 9)
    assert not batch["images"][0, 20:].any()
    assert batch["images"].dtype == np.float32


def test_a_backbone_that_takes_scaled_images_gets_them(images):
    model = detector(backbone=tiny_backbone(include_rescaling=False))
    model.predict([image / 255 for image in images[:2]])
