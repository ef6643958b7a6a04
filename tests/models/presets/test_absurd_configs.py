"""Saved configurations with absurd values: refused at once, with the file and the field."""

import json
import time
import zipfile

import keras
import pytest

from keras_detr.models import SetPredictionDetector
from tests.models.earlier_files import FOLDER

# Where a value stands in the configuration of a detector, the value, and what the error says.
ABSURD = [
    (("num_queries",), 10**9, "`num_queries` must be a whole number from 1 to 65536"),
    (("hidden_dim",), 10**9, "`hidden_dim` must be"),
    (("hidden_dim",), 0, "`hidden_dim` must be"),
    (("feed_forward_dim",), 10**12, "`feed_forward_dim` must be"),
    (("num_heads",), "a", "`num_heads` must be .*'a'"),
    (("num_encoder_layers",), 10**6, "`num_encoder_layers` must be"),
    (("num_decoder_layers",), None, "`num_decoder_layers` must be .*None"),
    (("num_decoder_layers",), float("nan"), "`num_decoder_layers` must be .*nan"),
    (("backbone",), 7, "`backbone` must be .*7"),
    (("neck",), "a", "`neck` must be .*'a'"),
    (("neck", "config", "hidden_dim"), 10**9, "`hidden_dim` must be"),
    (("backbone", "config", "stackwise_num_blocks"), [10**9] * 4, "`stackwise_num_blocks` must"),
    (("backbone", "config", "stackwise_num_filters"), [10**9] * 4, "`stackwise_num_filters` must"),
    (("backbone", "config", "stem_num_filters"), -1, "`stem_num_filters` must be"),
]


@pytest.fixture(params=["detr", "deformable_detr"])
def name(request):
    return request.param


def changed(config, place, value):
    for key in place[:-1]:
        config = config[key]
    config[place[-1]] = value


@pytest.mark.parametrize(("place", "value", "message"), ABSURD)
def test_a_preset_edited_by_hand(name, tmp_path, place, value, message):
    saved = json.loads((FOLDER / name / "preset" / "config.json").read_text())
    changed(saved["model"]["config"], place, value)
    (tmp_path / "config.json").write_text(json.dumps(saved))
    start = time.perf_counter()
    with pytest.raises(ValueError, match=rf"config\.json'.*{message}"):
        SetPredictionDetector.from_preset(tmp_path)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(("place", "value", "message"), [ABSURD[0], ABSURD[5]])
def test_a_keras_file(name, tmp_path, place, value, message):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(FOLDER / name / "model.keras") as old, zipfile.ZipFile(path, "w") as new:
        for part in old.namelist():
            content = old.read(part)
            if part == "config.json":
                content = json.loads(content)
                changed(content["config"], place, value)
                content = json.dumps(content).encode()
            new.writestr(part, content)
    with pytest.raises(ValueError, match=message):
        keras.saving.load_model(path)


def test_nesting_without_end(tmp_path):
    (tmp_path / "config.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ValueError, match=r"config\.json' isn't JSON"):
        SetPredictionDetector.from_preset(tmp_path)
