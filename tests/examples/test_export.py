"""Run the example as a user does: a saved model in, a file that was checked elsewhere out."""

import json
import os
import re
import subprocess
import sys
import zipfile

import keras
import pytest

from tests.examples.examples import EXAMPLES
from tests.models.detectors import tiny_detr

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning"),
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="the example needs tensorflow"
    ),
]


def test_a_saved_model_is_exported_and_checked(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="ai_edge_litert isn't installed")
    model = tiny_detr(class_names=("cat", "dog", "bird"), preprocessor_sizes=(64, 96))
    model.save(tmp_path / "mine.keras")
    command = [EXAMPLES / "export.py", tmp_path / "mine.keras", "--format", "litert"]
    run = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    output = tmp_path / "mine.tflite"
    size, one, three = run.stdout.splitlines()
    assert float(re.search(r"mine\.tflite: ([\d.]+) MB", size)[1]) == pytest.approx(
        output.stat().st_size / 1e6, abs=0.06
    )
    sizes = "1 image, 480 pixels high and 640 wide", "3 images, 240 pixels high and 320 wide"
    for line, start in zip((one, three), sizes, strict=True):
        assert line.startswith(start)
        assert float(re.search(r"boxes differ by ([\d.e+-]+)", line)[1]) < 1e-4
    assert json.loads(zipfile.ZipFile(output).read("class_names.json")) == ["cat", "dog", "bird"]
