"""Run the example as a user does: a saved model in, a file that was checked elsewhere out."""

import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import keras
import pytest

from tests.models.detectors import tiny_detr

REPOSITORY = pathlib.Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning"),
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="the example needs tensorflow"
    ),
]


def run_example(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "examples" / "export.py"), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
    )


def test_a_saved_model_is_exported_and_checked(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="ai_edge_litert isn't installed")
    model = tiny_detr(class_names=("cat", "dog", "bird"), preprocessor_sizes=(64, 96))
    model.save(tmp_path / "mine.keras")
    output = tmp_path / "mine.tflite"
    arguments = ("--model", tmp_path / "mine.keras", "--format", "litert", "--repeats", 1)
    run = run_example(*arguments, "--output", output)
    assert run.returncode == 0, run.stdout + run.stderr
    size, one, three = run.stdout.splitlines()
    assert float(re.search(r"mine\.tflite: ([\d.]+) MB", size)[1]) == pytest.approx(
        output.stat().st_size / 1e6, abs=0.06
    )
    for line, start in ((one, "1 of 480x640"), (three, "3 of 240x320")):
        assert line.startswith(start)
        assert float(re.search(r"boxes differ by ([\d.e+-]+)", line)[1]) < 1e-4
    assert json.loads(zipfile.ZipFile(output).read("class_names.json")) == ["cat", "dog", "bird"]


def test_what_cannot_be_exported_is_said_in_a_line(tmp_path):
    tiny_detr().save(tmp_path / "mine.keras")
    run = run_example("--model", tmp_path / "mine.keras", "--format", "onnx", "--output", tmp_path)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("`filepath` must be a file's name ending in")
