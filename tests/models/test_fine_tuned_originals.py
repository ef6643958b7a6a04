"""Models that transformers saved after fine-tuning: raw images give its logits, and the names."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_detr.models import DETR, DeformableDETR, SetPredictionDetector
from tests.models.originals import TINY_RESNET, TINY_TRANSFORMER, TOLERANCE

from .deformable_detr.transformers_deformable_detr import transformers_deformable_detr
from .detr.transformers_detr import transformers_detr

HEIGHT, WIDTH = 128, 192
NAMES = ("red car", "N/A of mine", "été")
SETTINGS = {
    **TINY_TRANSFORMER,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "id2label": dict(enumerate(NAMES)),
}
TWO_STAGE = {"with_box_refine": True, "two_stage": True, "two_stage_num_proposals": 10}
ORIGINALS = {
    "detr": (DETR, transformers_detr, {}),
    "deformable": (DeformableDETR, transformers_deformable_detr, {}),
    "two-stage": (DeformableDETR, transformers_deformable_detr, TWO_STAGE),
}
COLORS = {"image_mean": [0.2, 0.5, 0.7], "image_std": [0.3, 0.5, 0.25]}


def save_original(name, folder, **colors):
    """Save a model of transformers with its processor; return its class here, and its outputs."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    cls, build, settings = ORIGINALS[name]
    original = build(TINY_RESNET, **SETTINGS, **settings).double()
    # A size that isn't resized: how pixels are interpolated isn't asked here.
    processor = transformers.DetrImageProcessor(
        size={"shortest_edge": HEIGHT, "longest_edge": WIDTH}, **colors
    )
    processor.save_pretrained(folder)
    blocks = np.random.default_rng(1).integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3))
    image = blocks.repeat(16, 0).repeat(16, 1).astype("uint8")
    inputs = processor(image, return_tensors="pt")
    with torch.no_grad():
        outputs = original(inputs["pixel_values"].double(), pixel_mask=inputs["pixel_mask"])
    original.float().save_pretrained(folder)
    return cls, image, outputs


def assert_same_as(model, image, outputs):
    assert model.class_names == NAMES
    found = model(image[None], return_auxiliary=False)
    for name, expected in (("classification", outputs.logits), ("box", outputs.pred_boxes)):
        assert expected.std() > 50 * TOLERANCE
        np.testing.assert_allclose(
            ops.convert_to_numpy(found[name]), expected.numpy(), rtol=0, atol=TOLERANCE
        )


@pytest.mark.parametrize("name", ORIGINALS)
def test_logits_and_names(tmp_path, name):
    cls, image, outputs = save_original(name, tmp_path / "hub", **COLORS)
    model = SetPredictionDetector.from_preset(tmp_path / "hub")
    assert type(model) is cls
    assert model.preprocessor_sizes == (HEIGHT, WIDTH)
    assert_same_as(model, image, outputs)
    if name == "detr":
        # Names and colors travel with the model.
        model.save_to_preset(tmp_path / "own")
        assert_same_as(DETR.from_preset(tmp_path / "own"), image, outputs)
        model.save(tmp_path / "own.keras")
        assert_same_as(keras.saving.load_model(tmp_path / "own.keras"), image, outputs)
        anew = DETR.from_preset(tmp_path / "own", num_classes=2)
        assert (anew.class_names, anew.backbone.mean) == (None, model.backbone.mean)


def test_colors_that_make_no_sense_are_refused(tmp_path):
    save_original("detr", tmp_path, do_rescale=False)
    with pytest.raises(ValueError, match="`do_rescale` in preprocessor_config"):
        DETR.from_preset(tmp_path)


@pytest.mark.parametrize("cls", [DETR, DeformableDETR])
def test_published_presets_know_the_names_of_coco(cls):
    for preset in cls.presets.values():
        names = preset.settings["class_names"]
        assert len(set(names)) == preset.settings["num_classes"] == 80
        assert (names[0], names[11], names[79]) == ("person", "stop sign", "toothbrush")
