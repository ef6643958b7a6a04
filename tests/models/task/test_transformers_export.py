"""Detectors exported to transformers: the same outputs there, and here when they are read again."""

import json

import keras
import numpy as np
import pytest

from keras_detr.checkpoints import read_tensors
from keras_detr.layers import ContrastiveDenoising, LearnedPositionEmbedding, SinePositionEmbedding
from keras_detr.models import (
    DETR,
    MultiScaleNeck,
    ResNetBackbone,
    SetPredictionDetector,
    SingleScaleNeck,
)
from keras_detr.models.presets.checkpoint_variables import fill_variables, read_variables
from tests.models.detectors import (
    patch_backbone,
    tiny_backbone,
    tiny_deformable_detr,
    tiny_detr,
    tiny_dino_detr,
)
from tests.models.originals import (
    TOLERANCE,
    assert_telling,
    images_of_two_sizes,
    originals_inputs,
)
from tests.models.torch_oracles import random_tensors
from tests.one_program import outputs_of

NAMES = ("cat", "dog", "traffic light")
# Transformers' norms have 32 groups.
NECK = {"neck": None, "num_points": 4}
REFINING = {**NECK, "use_box_refinement": True}
VARIANTS = {
    "detr": (tiny_detr, {}),
    "detr_learned_positions": (
        tiny_detr,
        {"neck": lambda: SingleScaleNeck(32, LearnedPositionEmbedding(32))},
    ),
    "detr_bottlenecks": (
        tiny_detr,
        {
            "backbone": lambda: ResNetBackbone(
                50,
                stackwise_num_filters=(4, 8, 8, 16),
                stackwise_num_blocks=(1, 2, 1, 1),
                stem_num_filters=8,
                name="resnet",
            ),
            "activation": "gelu",
        },
    ),
    "deformable_detr": (tiny_deformable_detr, NECK),
    "deformable_detr_single_scale": (tiny_deformable_detr, {**NECK, "num_levels": 1}),
    "deformable_detr_refine": (tiny_deformable_detr, REFINING),
    "deformable_detr_denoising": (
        tiny_deformable_detr,
        {**REFINING, "denoising": ContrastiveDenoising},
    ),
    "deformable_detr_two_stage": (tiny_deformable_detr, {**REFINING, "use_two_stage": True}),
}
# Points far away don't jump about with each rounding; nor do boxes that are refined.
_GAINS = {"sampling_offsets.bias": 20.0, "sampling_offsets.weight": 0.1}


def random_detector(variant):
    """Build a tiny detector with random weights."""
    build, settings = VARIANTS[variant]
    parts = {name: part() if callable(part) else part for name, part in settings.items()}
    model = build(class_names=NAMES, preprocessor_sizes=(120, 190), **parts)
    variables = model.checkpoint_variables()
    gains = _GAINS if "use_box_refinement" not in settings else {**_GAINS, "bbox_embed": 0.3}
    tensors = random_tensors({name: entry.torch_shape for name, entry in variables.items()})
    for name in tensors:
        tensors[name] = tensors[name] * next((g for part, g in gains.items() if part in name), 1.0)
    fill_variables(variables, tensors, "random")
    return model


@pytest.fixture(scope="module")
def inputs():
    images, pixel_mask = images_of_two_sizes(160, 192)
    return {"images": images, "pixel_mask": pixel_mask}


@pytest.mark.every_backend
@pytest.mark.parametrize("variant", VARIANTS)
def test_transformers_computes_the_same(variant, tmp_path, inputs, recwarn):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model = random_detector(variant)
    model.export_to_transformers(tmp_path)
    loaded, report = transformers.AutoModelForObjectDetection.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(report.values()), report
    expected_class = "Detr" if variant.startswith("detr") else "DeformableDetr"
    assert type(loaded).__name__ == f"{expected_class}ForObjectDetection"
    assert loaded.config.id2label == dict(enumerate(NAMES))
    assert loaded.config.label2id == {name: row for row, name in enumerate(NAMES)}
    if loaded.config.model_type == "deformable_detr":
        loaded.config.disable_custom_kernels = True
    images, pixel_mask = originals_inputs(inputs["images"], inputs["pixel_mask"])
    with torch.no_grad():
        expected = loaded.eval().double()(images, pixel_mask=pixel_mask)
    logits, boxes = expected.logits.numpy(), expected.pred_boxes.numpy()
    assert_telling(logits[:, None], boxes[:, None])
    assert logits.shape[-1] == len(NAMES) + model.has_no_object
    found = outputs_of(model, inputs, return_auxiliary=False)
    np.testing.assert_allclose(found["classification"], logits, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found["box"], boxes, rtol=0, atol=TOLERANCE)


@pytest.mark.every_backend
@pytest.mark.parametrize("variant", VARIANTS)
def test_read_again_it_is_the_same(variant, tmp_path, inputs):
    model = random_detector(variant)
    model.export_to_transformers(tmp_path / "exported")
    again = SetPredictionDetector.from_preset(tmp_path / "exported")
    assert type(again) is type(model)
    assert again.class_names == NAMES
    assert again.preprocessor_sizes == (120, 190)
    assert again.backbone.mean == model.backbone.mean
    assert again.backbone.standard_deviation == model.backbone.standard_deviation
    expected = read_variables(model.checkpoint_variables())
    tensors = read_variables(again.checkpoint_variables())
    lost = {n for n in expected if n.startswith(("label_enc", "denoising_positions"))}
    assert tensors.keys() == expected.keys() - lost
    assert bool(lost) == (model.denoising is not None)
    for name, value in tensors.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    outputs = outputs_of(model, inputs)
    for name, value in outputs_of(again, inputs).items():
        np.testing.assert_array_equal(value, outputs[name], err_msg=name)
    again.export_to_transformers(tmp_path / "twice")
    for file in ("config.json", "preprocessor_config.json", "model.safetensors"):
        first, second = (tmp_path / name / file for name in ("exported", "twice"))
        assert first.read_bytes() == second.read_bytes(), file


def test_transformers_resizes_and_normalizes_alike(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    colors = {"mean": (100.0, 110.0, 120.0), "standard_deviation": (50.0, 60.0, 70.0)}
    model = tiny_detr(preprocessor_sizes=(64, 90), backbone=tiny_backbone(**colors))
    model.export_to_transformers(tmp_path)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    image = np.full((3, 100, 200), 200, "uint8")
    pixels = processor(image, return_tensors="np")["pixel_values"]
    assert pixels.shape == (1, 3, 45, 90)
    expected = (200 - np.array(colors["mean"])) / colors["standard_deviation"]
    np.testing.assert_allclose(pixels.mean((0, 2, 3)), expected, rtol=1e-5)


def refused():
    """Yield detectors that transformers can't hold, as (build, part of the message)."""
    yield tiny_dino_detr, "This DINODETR .*transformers has no model of this kind"
    yield lambda: tiny_detr(normalize_before=True), "normalize_before=True"
    yield lambda: tiny_detr(backbone=patch_backbone()), "its backbone is a Functional"
    yield lambda: tiny_detr(backbone=tiny_backbone(dilation=True)), "`dilation=True`"
    rescaled = {"include_rescaling": False}
    yield lambda: tiny_detr(backbone=tiny_backbone(**rescaled)), "include_rescaling=False"
    yield lambda: tiny_detr(activation="tanh"), "its activation is 'tanh'"
    yield lambda: tiny_detr(num_encoder_layers=0), "no encoder layers"
    yield lambda: tiny_detr(preprocessor_sizes=None), "its `preprocessor` is None"
    yield lambda: tiny_detr(class_names=["a", "N/A", "c"]), "a class is called 'N/A'"
    warm = SinePositionEmbedding(32, temperature=20.0)
    yield lambda: tiny_detr(neck=SingleScaleNeck(32, warm)), "temperature of 10000 and"
    few = LearnedPositionEmbedding(32, num_positions=20)
    yield lambda: tiny_detr(neck=SingleScaleNeck(32, few)), "or 50 learned rows"
    yield tiny_deformable_detr, "num_groups=4"
    yield lambda: tiny_deformable_detr(neck=None, num_levels=2), "num_levels=2"
    yield lambda: tiny_deformable_detr(neck=ShiftedNeck(32, 4)), "its neck is a ShiftedNeck"


class ShiftedNeck(MultiScaleNeck):
    """Stand for a neck of a user's own."""


@pytest.mark.parametrize("index", range(14))
def test_what_transformers_cannot_hold(index, tmp_path):
    cases = list(refused())
    assert len(cases) == 14
    build, message = cases[index]
    with pytest.raises(ValueError, match=message) as raised:
        build().export_to_transformers(tmp_path / "folder")
    assert "can't be exported to transformers: " in str(raised.value)
    assert "`save_to_preset` and `upload_preset`" in str(raised.value)
    assert not (tmp_path / "folder").exists()


def test_a_folder_of_something_else_stays(tmp_path):
    model = tiny_detr()
    model.save_to_preset(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"holds 'model\.weights\.h5' too"):
        model.export_to_transformers(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_detector_without_names_or_limit(tmp_path):
    tiny_detr(preprocessor_sizes=(64, None)).export_to_transformers(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert list(config["id2label"].values()) == ["LABEL_0", "LABEL_1", "LABEL_2"]
    again = DETR.from_preset(tmp_path, num_classes=5)
    assert again.class_names is None
    assert again.preprocessor_sizes == (64, 2**16)
    assert again.num_classes == 5


def test_half_precision_is_stored_as_float32(tmp_path):
    model = tiny_detr(dtype="mixed_bfloat16")
    model.export_to_transformers(tmp_path)
    tensors = read_tensors(tmp_path)
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"float32"}
    name = "class_labels_classifier.bias"
    expected = keras.ops.convert_to_numpy(model.class_head.bias)
    np.testing.assert_array_equal(tensors[name], expected)


@pytest.mark.every_backend
def test_what_lora_adds_is_in_the_kernels(tmp_path, inputs):
    model = tiny_detr()
    before = model.class_head.kernel.shape
    model.class_head.enable_lora(2)
    model.class_head.lora_kernel_b.assign(np.full((2, 4), 0.5, "float32"))
    model.export_to_transformers(tmp_path)
    again = DETR.from_preset(tmp_path)
    assert again.class_head.kernel.shape == before
    expected = outputs_of(model, inputs)["classification"]
    found = outputs_of(again, inputs)["classification"]
    # The sum is rounded once more or less.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(again.class_head.kernel),
        keras.ops.convert_to_numpy(model.class_head.kernel),
    )
