"""Run the example as a user does: its own process, saved models, COCO's images through TFDS."""

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import tensorflow_datasets as tfds
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keras_detr.checkpoints.coco_categories import COCO_CLASS_NAMES
from tests.datasets.coco_mini import prepare_coco_mini, split_paths
from tests.models.detectors import tiny_backbone, tiny_detr

REPOSITORY = pathlib.Path(__file__).parents[2]

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    tfds.disable_progress_bar()
    folder = tmp_path_factory.mktemp("tfds")
    prepare_coco_mini(folder)
    return folder


def save_model(folder, **settings):
    """Save a tiny detector that sees a large dining table in every image; twice it is right."""
    model = tiny_detr(num_classes=80, num_queries=100, **settings)
    model({"images": np.zeros((1, 64, 64, 3), "float32")})
    changes = {
        "box_head/layer_2/kernel": lambda kernel: kernel * 0.3,
        "box_head/layer_2/bias": lambda bias: np.array([0.0, 0.0, 1.0, 1.0]),
        "class_head/bias": lambda bias: 8 * np.eye(81)[COCO_CLASS_NAMES.index("dining table")],
    }
    for variable in model.weights:
        for path, change in changes.items():
            if variable.path.endswith(path):
                variable.assign(change(variable))
    model.save_to_preset(folder)


def run_example(*arguments):
    """Run the example on COCO's sample, images of at most 96 pixels."""
    sides = ["--short-side", "64", "--longest-side", "96"]
    return subprocess.run(
        [sys.executable, "examples/evaluate_coco.py", *map(str, arguments), *sides],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )


def figures_of_file(path):
    """Return pycocotools' figures for a results.json."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(split_paths("validation")[1])
        evaluation = COCOeval(truth, truth.loadRes(str(path)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def printed_figures(output):
    """Return the figures of the printed table, in percent."""
    lines = output.splitlines()
    start = max(index for index, line in enumerate(lines) if line.startswith("AP  "))
    return [float(line.split()[1]) for line in lines[start : start + 12]]


@pytest.mark.slow
@pytest.mark.parametrize("dilation", [False, True])
def test_figures_are_those_of_the_file(data_dir, tmp_path, dilation):
    save_model(tmp_path / "model", backbone=tiny_backbone(dilation=dilation))
    path = tmp_path / "results.json"
    run = run_example(
        "--preset", tmp_path / "model", "--data-dir", data_dir, "--output", path, "--per-class"
    )
    assert run.returncode == 0, run.stderr[-4000:]
    assert ("one by one, unpadded" in run.stdout) == dilation
    assert ("26/26" in run.stdout) == dilation
    assert "person" in run.stdout
    records = json.loads(path.read_text())
    assert len(records) == 26 * 100
    assert {record["category_id"] for record in records} == {67}
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["results.json"]
    expected = 100 * figures_of_file(path)
    assert expected[8] > 0
    # The table shows tenths of a percent; the file rounds boxes to a hundredth of a pixel.
    np.testing.assert_allclose(printed_figures(run.stdout), expected, atol=0.06)


@pytest.mark.slow
def test_a_model_of_other_classes_is_refused(data_dir, tmp_path):
    model = tiny_detr()
    model({"images": np.zeros((1, 64, 64, 3), "float32")})
    model.save_to_preset(tmp_path / "model")
    path = tmp_path / "results.json"
    run = run_example("--preset", tmp_path / "model", "--data-dir", data_dir, "--output", path)
    assert run.returncode == 1
    assert "has 3 classes, COCO has 80" in run.stderr
    assert not path.exists()
