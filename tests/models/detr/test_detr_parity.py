"""DETR against the original: the outputs of every decoder layer, for the same random weights."""

import numpy as np
import pytest

from keras_detr.checkpoints import COCO_CATEGORY_IDS
from keras_detr.layers import LearnedPositionEmbedding
from keras_detr.models import DETR, SingleScaleNeck
from keras_detr.models.presets.checkpoint_variables import fill_variables
from tests.models.detectors import tiny_detr
from tests.models.originals import (
    TINY_RESNET,
    TINY_TRANSFORMER,
    TOLERANCE,
    assert_every_tensor_has_a_variable,
    assert_telling,
    images_of_two_sizes,
)
from tests.models.torch_oracles import pre_norm_detr, random_tensors, resnet_pyramid
from tests.one_program import outputs_of

from .transformers_detr import (
    UNUSED,
    outputs_of_all_layers,
    transformers_detr,
)

RESNET50 = {}
LABELS = [UNUSED, "cat", "dog", UNUSED, "person"]
TINY = {**TINY_TRANSFORMER, "id2label": dict(enumerate(LABELS))}


def assert_same_outputs(model, rows, images, pixel_mask, expected):
    """Compare the raw outputs of all layers with an original's.

    Args:
        model: the detector.
        rows: the rows of the original's class head that the model keeps.
        images: array (batch, height, width, 3).
        pixel_mask: array (batch, height, width).
        expected: pair of arrays, logits and boxes of all layers.
    """
    logits, boxes = expected
    assert_telling(logits, boxes)
    outputs = outputs_of(model, {"images": images, "pixel_mask": pixel_mask})
    for name, original in (("classification", logits[..., rows]), ("box", boxes)):
        last, earlier = outputs[name], outputs[f"aux_{name}"]
        assert last.dtype == np.float32
        np.testing.assert_allclose(last, original[:, -1], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(earlier, original[:, :-1], rtol=0, atol=TOLERANCE)


@pytest.mark.every_backend
@pytest.mark.slow
@pytest.mark.parametrize(
    # Dilation is asked of the backbone on each backend.
    "preset",
    ["detr_r50", pytest.param("detr_r50_dc5", marks=pytest.mark.once)],
)
def test_official_architectures(tmp_path, preset):
    labels = {row: f"class {row}" for row in range(91)}
    original = transformers_detr(RESNET50, is_dilated=preset == "detr_r50_dc5", id2label=labels)
    original.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    model = DETR.from_preset(preset, weights=file)
    images, pixel_mask = images_of_two_sizes(96, 128)
    expected = outputs_of_all_layers(original, images, pixel_mask)
    assert expected[0].shape == (2, 6, 100, 92)
    rows = [*COCO_CATEGORY_IDS, 91]
    assert len(rows) == 81
    assert_same_outputs(model, rows, images, pixel_mask, expected)
    assert_every_tensor_has_a_variable(model, file)


@pytest.mark.every_backend
@pytest.mark.parametrize("positions", ["sine", "learned"])
def test_a_folder_in_the_layout_of_the_hub(tmp_path, positions):
    original = transformers_detr(TINY_RESNET, position_embedding_type=positions, **TINY)
    original.save_pretrained(tmp_path)
    model = DETR.from_preset(tmp_path)
    assert model.class_names == ("cat", "dog", "person")
    assert isinstance(model.neck.position_embedding, LearnedPositionEmbedding) == (
        positions == "learned"
    )
    images, pixel_mask = images_of_two_sizes(160, 192)
    expected = outputs_of_all_layers(original, images, pixel_mask)
    assert_same_outputs(model, [1, 2, 4, 5], images, pixel_mask, expected)
    assert_every_tensor_has_a_variable(model, tmp_path / "model.safetensors")


@pytest.mark.every_backend
def test_pre_norm_with_learned_positions():
    pytest.importorskip("torch")
    neck = SingleScaleNeck(32, LearnedPositionEmbedding(32, name="positions"), name="neck")
    model = tiny_detr(normalize_before=True, neck=neck)
    variables = model.checkpoint_variables()
    tensors = random_tensors({name: entry.torch_shape for name, entry in variables.items()})
    fill_variables(variables, tensors, "random tensors")
    images, pixel_mask = images_of_two_sizes(160, 192)
    of_backbone = {
        name.removeprefix("backbone."): value
        for name, value in tensors.items()
        if name.startswith(("backbone.layer", "backbone.conv1", "backbone.bn1"))
    }
    normalized = images - np.array((123.675, 116.28, 103.53), "float32")
    normalized /= np.array((58.395, 57.12, 57.375), "float32")
    features = resnet_pyramid(
        of_backbone, normalized * pixel_mask[..., None], (1, 1, 1, 1), is_bottleneck=False
    )[-1]
    # Strides of 32 divide these sizes, so that nearest is every 32nd pixel.
    expected = pre_norm_detr(tensors, features, pixel_mask[:, ::32, ::32] > 0, num_heads=4)
    assert_same_outputs(model, [0, 1, 2, 3], images, pixel_mask, expected)
