"""Deformable DETR against the original: the outputs of every layer, for the same random weights."""

from functools import partial

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from keras_detr.checkpoints import COCO_CATEGORY_IDS, resolve_shared_heads
from keras_detr.models import DeformableDETR
from tests.models.originals import (
    TINY_RESNET,
    TINY_TRANSFORMER,
    TOLERANCE,
    assert_every_tensor_has_a_variable,
    assert_telling,
    images_of_two_sizes,
)
from tests.one_program import outputs_of

from .transformers_deformable_detr import outputs_of_all_layers, transformers_deformable_detr

TINY = {
    **TINY_TRANSFORMER,
    "two_stage_num_proposals": 10,
    "id2label": dict(enumerate(["cat", "dog", "person"])),
}
VARIANTS = {
    "deformable_detr_r50": {},
    "deformable_detr_r50_single_scale": {"num_feature_levels": 1},
    "deformable_detr_r50_single_scale_dc5": {"num_feature_levels": 1, "is_dilated": True},
    "deformable_detr_r50_refine": {"with_box_refine": True},
    "deformable_detr_r50_two_stage": {"with_box_refine": True, "two_stage": True},
}

# Transformers knows dilation of the backbones of timm only, which its folders merely name.
IN_FOLDERS = [name for name, settings in VARIANTS.items() if not settings.get("is_dilated")]


def assert_same_outputs(model, rows, images, pixel_mask, expected):
    """Compare the raw outputs of all layers with an original's."""
    logits, boxes = expected["logits"], expected["boxes"]
    assert_telling(logits, boxes)
    outputs = outputs_of(model, {"images": images, "pixel_mask": pixel_mask})
    found = {
        name: np.concatenate([outputs[f"aux_{name}"], outputs[name][:, None]], axis=1)
        for name in ("classification", "box")
    }
    assert found["box"].dtype == np.float32
    if expected["encoder_boxes"] is not None:
        # Proposals of nearly the same score may change places: queries are compared as a set.
        for image in range(len(boxes)):
            distances = cdist(boxes[image, -1], found["box"][image, -1])
            _, order = linear_sum_assignment(distances)
            for name, value in found.items():
                found[name][image] = value[image][:, order]
    np.testing.assert_allclose(found["classification"], logits[..., rows], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found["box"], boxes, rtol=0, atol=TOLERANCE)
    if expected["encoder_boxes"] is not None:
        np.testing.assert_allclose(
            outputs["encoder_classification"],
            # The first row stands for any object there.
            expected["encoder_logits"][..., [0, *rows[1:]]],
            rtol=0,
            atol=TOLERANCE,
        )
        np.testing.assert_allclose(
            outputs["encoder_box"], expected["encoder_boxes"], rtol=0, atol=TOLERANCE
        )


def own_heads(model):
    """Return the callable that leaves each head of a file as often as the model has it."""
    return partial(resolve_shared_heads, num_heads=len(model.class_heads))


@pytest.mark.every_backend
@pytest.mark.slow
@pytest.mark.parametrize(
    "preset",
    [
        # What a folder can say is asked on each backend below, and quicker.
        *(pytest.param(name, marks=pytest.mark.once) for name in IN_FOLDERS),
        "deformable_detr_r50_single_scale_dc5",
    ],
)
def test_official_architectures(tmp_path, preset):
    labels = {row: f"class {row}" for row in range(91)}
    original = transformers_deformable_detr({}, id2label=labels, **VARIANTS[preset])
    original.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    model = DeformableDETR.from_preset(preset, weights=file)
    images, pixel_mask = images_of_two_sizes(160, 192)
    expected = outputs_of_all_layers(original, images, pixel_mask)
    assert_same_outputs(model, list(COCO_CATEGORY_IDS), images, pixel_mask, expected)
    assert_every_tensor_has_a_variable(model, file, own_heads(model))


@pytest.mark.every_backend
@pytest.mark.parametrize("preset", IN_FOLDERS)
def test_a_folder_in_the_layout_of_the_hub(tmp_path, preset):
    settings = VARIANTS[preset]
    original = transformers_deformable_detr(TINY_RESNET, **TINY, **settings)
    original.save_pretrained(tmp_path)
    model = DeformableDETR.from_preset(tmp_path)
    assert model.class_names == ("cat", "dog", "person")
    images, pixel_mask = images_of_two_sizes(160, 192)
    expected = outputs_of_all_layers(original, images, pixel_mask)
    assert_same_outputs(model, [0, 1, 2], images, pixel_mask, expected)
    file = tmp_path / "model.safetensors"
    assert_every_tensor_has_a_variable(model, file, own_heads(model))
