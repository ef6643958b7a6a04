"""Run the example on images, with a tiny segmenter of random weights."""

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from tests.examples.examples import run_example
from tests.models.detectors import tiny_detr, tiny_detr_segmenter

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)
SETTINGS = {"class_names": ("cat", "dog", "sky"), "preprocessor_sizes": (64, 107)}


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), "uint8")
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_pictures_and_json(photo, tmp_path, monkeypatch, capsys):
    model = tiny_detr_segmenter(**SETTINGS, is_thing=(True, True, False))
    model.save_to_preset(tmp_path / "preset")
    options = ["--model", tmp_path / "preset", "--confidence-threshold", 0, "--output", tmp_path]
    for kind, entry in (("panoptic", "segments"), ("instances", "masks")):
        run_example("segment", monkeypatch, photo, "--kind", kind, *options)
        assert "images read: 1, broken: 0" in capsys.readouterr().out
        (content,) = json.loads((tmp_path / f"{kind}.json").read_text())
        assert content["image_size"] == [60, 80]
        assert content[entry]
        with Image.open(tmp_path / f"photo.png.{kind}.png") as picture:
            assert min(picture.size) > 60


def test_a_model_without_masks(photo, tmp_path, monkeypatch):
    tiny_detr(**SETTINGS).save_to_preset(tmp_path / "preset")
    with pytest.raises(SystemExit, match="preset has no masks: it is a DETR"):
        run_example("segment", monkeypatch, photo, "--model", tmp_path / "preset")
