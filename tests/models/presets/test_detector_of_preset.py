"""The abstract detector finds out which one a preset is of."""

import json

import pytest

import keras_detr
from keras_detr.models import (
    DETR,
    DINODETR,
    DeformableDETR,
    DETRSegmenter,
    ObjectDetector,
    ResNetBackbone,
    SetPredictionDetector,
)
from tests.models.detectors import DETECTORS

pytestmark = pytest.mark.every_backend


@pytest.mark.once
@pytest.mark.parametrize(
    ("preset", "detector"),
    [
        ("detr_r50", DETR),
        ("detr_r50_panoptic", DETRSegmenter),
        ("deformable_detr_r50_refine", DeformableDETR),
        ("dino_detr_r50", DINODETR),
    ],
)
def test_a_registered_name(preset, detector):
    model = keras_detr.ObjectDetector.from_preset(
        preset, load_weights=False, num_encoder_layers=1, num_decoder_layers=1
    )
    assert type(model) is detector


def test_the_front_door_is_the_abstract_detector():
    assert keras_detr.ObjectDetector is ObjectDetector is SetPredictionDetector
    assert "ObjectDetector" in dir(keras_detr)


def test_presets_are_listed_by_class():
    for cls in (DETR, DETRSegmenter, DeformableDETR, DINODETR, ResNetBackbone):
        assert cls.presets
        assert cls.presets_with_weights == cls.presets
        assert cls.presets_without_weights == {}
        assert all(preset.description and preset.license for preset in cls.presets.values())
    detectors = (DETR, DETRSegmenter, DeformableDETR, DINODETR)
    everything = {name: preset for cls in detectors for name, preset in cls.presets.items()}
    # Other tests may have defined detectors, which have no presets.
    assert ObjectDetector.presets == ObjectDetector.presets_with_weights == everything

    class WithoutPresets(SetPredictionDetector):
        pass

    assert WithoutPresets.presets == WithoutPresets.presets_with_weights == {}


@pytest.mark.parametrize("name", DETECTORS)
def test_a_saved_folder(name, tmp_path):
    model = DETECTORS[name].build()
    model.save_to_preset(tmp_path)
    loaded = SetPredictionDetector.from_preset(tmp_path, bounding_box_format="rel_xyxy")
    assert type(loaded) is type(model)
    assert loaded.bounding_box_format == "rel_xyxy"


@pytest.mark.parametrize(
    ("named", "detector"),
    [
        ({"model_type": "detr"}, DETR),
        ({"model_type": "detr", "architectures": ["DetrForObjectDetection"]}, DETR),
        ({"model_type": "detr", "architectures": ["DetrForSegmentation"]}, DETRSegmenter),
        ({"model_type": "deformable_detr"}, DeformableDETR),
    ],
)
def test_a_folder_in_the_layout_of_the_hub(named, detector, tmp_path):
    config = {**named, "backbone": "resnet50", "encoder_layers": 1, "decoder_layers": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"")
    model = SetPredictionDetector.from_preset(tmp_path, load_weights=False)
    assert type(model) is detector


def test_what_nobody_knows(tmp_path):
    with pytest.raises(ValueError, match=r"one of \['deformable_detr_r50'.*Received: 'yolo'"):
        SetPredictionDetector.from_preset("yolo")
    (tmp_path / "config.json").write_text('{"model_type": "rt_detr"}')
    with pytest.raises(
        ValueError, match=r"\['DETR', 'DETRSegmenter', 'DINO.*model_type` 'rt_detr'"
    ):
        SetPredictionDetector.from_preset(tmp_path)


def test_a_file_of_weights_is_no_preset(tmp_path):
    (tmp_path / "detr.safetensors").write_bytes(b"weights")
    with pytest.raises(ValueError, match=r"Received: the file .*detr\.safetensors.*`weights=`"):
        keras_detr.ObjectDetector.from_preset(tmp_path / "detr.safetensors")
