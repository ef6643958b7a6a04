"""DINO: its preset, its recipe, and how official files are read."""

import dataclasses
import json
import re

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from keras_detr.models import DINODETR, SetPredictionDetector
from keras_detr.models.presets.checkpoint_variables import read_variables
from tests.models.detectors import inputs_of, tiny_batch, tiny_dino_detr
from tests.one_program import outputs_of

from .official_weights import OfficialSizes, official_tensors

SIZES = OfficialSizes(
    stem_num_filters=8,
    stage_num_filters=(8, 16, 16, 32),
    stage_num_blocks=(1, 1, 1, 1),
    is_bottleneck=False,
    hidden_dim=32,
    feed_forward_dim=48,
    num_heads=4,
    num_encoder_layers=1,
    num_decoder_layers=2,
    num_queries=10,
    num_classes=6,
)
CLASS_ROWS = (1, 2, 5)


@pytest.fixture
def tiny_preset(monkeypatch, tmp_path):
    """Register a preset "dino_tiny", and give a file with its weights under official names."""
    preset = DINODETR.presets["dino_detr_r50"]
    settings = {
        **preset.settings,
        "backbone": {
            "depth": 18,
            "stackwise_num_blocks": SIZES.stage_num_blocks,
            "stackwise_num_filters": SIZES.stage_num_filters,
            "stem_num_filters": SIZES.stem_num_filters,
            "name": "resnet",
        },
        "class_names": ("cat", "dog", "person"),
        "class_rows": CLASS_ROWS,
        "num_classes": 3,
        **{
            name: getattr(SIZES, name)
            for name in (
                "hidden_dim",
                "feed_forward_dim",
                "num_heads",
                "num_encoder_layers",
                "num_decoder_layers",
                "num_queries",
            )
        },
    }
    tiny = dataclasses.replace(preset, settings=settings)
    monkeypatch.setitem(DINODETR.presets, "dino_tiny", tiny)
    file = tmp_path / "tiny.safetensors"
    save_file(official_tensors(SIZES), file)
    return file


def tensors_of(model):
    return read_variables(model.checkpoint_variables())


def test_the_preset_is_the_published_one():
    assert list(DINODETR.presets) == ["dino_detr_r50"]
    preset = DINODETR.presets["dino_detr_r50"]
    assert preset.weights.repo_id == "LibreYOLO/LibreDINODETRr50"
    assert preset.weights.filename == "LibreDINODETRr50.pt"
    assert preset.license == "Apache-2.0"
    assert preset.published["AP"] == 49.0


@pytest.mark.slow
def test_the_preset_can_be_built():
    model = DINODETR.from_preset("dino_detr_r50", load_weights=False)
    assert model.count_params() == DINODETR.presets["dino_detr_r50"].num_parameters
    assert model.num_classes == len(model.class_names) == 80
    assert model.prediction_decoder.max_detections == 300
    assert model.neck.position_embedding.temperature == 20
    assert (model.denoising.num_queries, model.denoising.box_noise_scale) == (100, 1.0)


@pytest.mark.every_backend
def test_the_kept_rows(tiny_preset):
    model = DINODETR.from_preset("dino_tiny", weights=tiny_preset)
    source, tensors = official_tensors(SIZES), tensors_of(model)
    rows = list(CLASS_ROWS)
    for name, official in (
        ("class_embed.0.weight", "class_embed.1.weight"),
        ("transformer.enc_out_class_embed.bias", "transformer.enc_out_class_embed.bias"),
        ("label_enc.weight", "label_enc.weight"),
    ):
        np.testing.assert_array_equal(tensors[name], source[official][rows], err_msg=name)
    name = "transformer.decoder.ref_point_head.layers.1.weight"
    np.testing.assert_array_equal(tensors[name], source[name])
    assert model.class_names == ("cat", "dog", "person")


@pytest.mark.every_backend
@pytest.mark.once
def test_another_number_of_classes(tiny_preset, caplog):
    expected = tensors_of(DINODETR.from_preset("dino_tiny", weights=tiny_preset))
    model = DINODETR.from_preset("dino_tiny", weights=tiny_preset, num_classes=4)
    (line,) = caplog.messages
    assert line.startswith("The class head starts anew")
    assert "has 3 classes, the model has 4" in line
    tensors = tensors_of(model)
    new = {name for name in expected if tensors[name].shape != expected[name].shape}
    assert {re.sub(r"\.\w+$", "", name) for name in new} == {
        "class_embed.0",
        "transformer.enc_out_class_embed",
        "label_enc",
    }
    for name in expected.keys() - new:
        np.testing.assert_array_equal(tensors[name], expected[name], err_msg=name)


@pytest.mark.every_backend
@pytest.mark.once
def test_without_denoising_the_table_of_labels_is_left_out(tiny_preset):
    model = DINODETR.from_preset("dino_tiny", weights=tiny_preset, denoising=None)
    expected = DINODETR.from_preset("dino_tiny", weights=tiny_preset)
    assert "label_enc.weight" not in model.checkpoint_variables()
    inputs = inputs_of(tiny_batch())
    outputs = outputs_of(expected, inputs)
    for name, value in outputs_of(model, inputs).items():
        np.testing.assert_allclose(value, outputs[name], atol=1e-6, err_msg=name)


def test_the_authors_kind_of_file(tiny_preset, tmp_path):
    torch = pytest.importorskip("torch", reason="torch isn't installed")
    tensors = {name: torch.from_numpy(value) for name, value in official_tensors(SIZES).items()}
    file = tmp_path / "checkpoint.pt"
    torch.save({"model": tensors, "epoch": 11}, file)
    model = DINODETR.from_preset("dino_tiny", weights=file)
    expected = tensors_of(DINODETR.from_preset("dino_tiny", weights=tiny_preset))
    for name, value in tensors_of(model).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.every_backend
def test_heads_that_differ_between_layers_are_another_model(tiny_preset, tmp_path):
    tensors = official_tensors(SIZES)
    for owner in ("", "transformer.decoder."):
        name = f"{owner}bbox_embed.1.layers.0.bias"
        tensors[name] = tensors[name] + 1
    file = tmp_path / "apart.safetensors"
    save_file(tensors, file)
    with pytest.raises(ValueError, match=r"not in the model \(bbox_embed\.1\.layers\.0\.bias\)"):
        DINODETR.from_preset("dino_tiny", weights=file)


@pytest.mark.every_backend
def test_a_config_without_a_family_is_no_dino(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"backbone": "resnet50"}))
    with pytest.raises(ValueError, match=r"whose config\.json has `model_type` None"):
        SetPredictionDetector.from_preset(tmp_path)


@pytest.mark.every_backend
def test_the_papers_recipe():
    model = tiny_dino_detr()
    model.compile()
    groups = model.optimizer.optimizers
    rates = sorted(float(keras.ops.convert_to_numpy(group.learning_rate)) for group in groups)
    np.testing.assert_allclose(rates, [1e-5, 1e-4], rtol=1e-6)
    config = model.loss.get_config()
    assert (config["class_cost"], config["box_cost"], config["giou_cost"]) == (2.0, 5.0, 2.0)
    assert (config["class_weight"], config["box_weight"], config["giou_weight"]) == (1.0, 5.0, 2.0)


@pytest.mark.every_backend
def test_a_new_model_expects_little_everywhere():
    model = tiny_dino_detr()
    outputs = outputs_of(model, inputs_of(tiny_batch()))
    for name in ("classification", "encoder_classification"):
        probability = 1 / (1 + np.exp(-outputs[name]))
        assert 0.001 < probability.mean() < 0.05
    # Boxes start at the proposals, and stay there until something is learned.
    np.testing.assert_allclose(outputs["box"], outputs["encoder_box"], atol=2e-3)
