"""Deformable DETR against the original: the outputs of every layer, for the same random weights."""

import numpy as np
import pytest
from keras import ops
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from keras_detr.checkpoints import (
    COCO_CATEGORY_IDS,
    DEFORMABLE_DETR_TABLE,
    read_tensors,
    resolve_shared_heads,
    to_canonical_names,
)
from keras_detr.models import DeformableDETR
from tests.models.detr.transformers_detr import images_of_two_sizes

from .transformers_deformable_detr import outputs_of_all_layers, transformers_deformable_detr

# What issue and papers' users ask for.
TOLERANCE = 1e-4
TINY_RESNET = {
    "layer_type": "basic",
    "depths": [1, 2, 1, 2],
    "hidden_sizes": [8, 16, 16, 32],
    "embedding_size": 8,
}
TINY = {
    "d_model": 32,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "num_queries": 10,
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


def assert_same_outputs(model, rows, images, pixel_mask, expected):
    """Compare the raw outputs of all layers with an original's."""
    logits, boxes = expected["logits"], expected["boxes"]
    # Parity of outputs that are all alike would prove little.
    assert 0.3 < logits.std() < 30
    for outputs in (logits, boxes):
        assert outputs.std(axis=2).mean() > 50 * TOLERANCE
        assert outputs.std(axis=0).mean() > 50 * TOLERANCE
    outputs = model({"images": images, "pixel_mask": pixel_mask})
    outputs = {name: ops.convert_to_numpy(value) for name, value in outputs.items()}
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


def assert_every_tensor_has_a_variable(model, file):
    """Check that a file's tensors and a model's variables are the same set."""
    renamed = to_canonical_names(read_tensors(file), DEFORMABLE_DETR_TABLE)
    assert not renamed.skipped
    tensors = resolve_shared_heads(renamed.tensors, len(model.class_heads))
    named = model.checkpoint_variables()
    assert tensors.keys() == named.keys()
    filled = {id(entry.variable) for entry in named.values()}
    assert filled == {id(variable) for variable in model.weights}


@pytest.mark.slow
@pytest.mark.parametrize("preset", VARIANTS)
def test_official_architectures(tmp_path, preset):
    labels = {row: f"class {row}" for row in range(91)}
    original = transformers_deformable_detr({}, id2label=labels, **VARIANTS[preset])
    original.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    model = DeformableDETR.from_preset(preset, weights=file)
    images, pixel_mask = images_of_two_sizes(160, 192)
    expected = outputs_of_all_layers(original, images, pixel_mask)
    assert_same_outputs(model, list(COCO_CATEGORY_IDS), images, pixel_mask, expected)
    assert_every_tensor_has_a_variable(model, file)


@pytest.mark.every_backend
@pytest.mark.parametrize(
    "variant",
    [
        "",
        pytest.param("_single_scale", marks=pytest.mark.once),
        pytest.param("_refine", marks=pytest.mark.once),
        "_two_stage",
    ],
)
def test_a_folder_in_the_layout_of_the_hub(tmp_path, variant):
    settings = VARIANTS[f"deformable_detr_r50{variant}"]
    original = transformers_deformable_detr(TINY_RESNET, **TINY, **settings)
    original.save_pretrained(tmp_path)
    model = DeformableDETR.from_preset(tmp_path)
    assert model.class_names == ("cat", "dog", "person")
    images, pixel_mask = images_of_two_sizes(160, 192)
    expected = outputs_of_all_layers(original, images, pixel_mask)
    assert_same_outputs(model, [0, 1, 2], images, pixel_mask, expected)
    assert_every_tensor_has_a_variable(model, tmp_path / "model.safetensors")
