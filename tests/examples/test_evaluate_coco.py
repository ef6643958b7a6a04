"""The example's figures are those that pycocotools finds in its results.json."""

import contextlib
import io
import json

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keras_detr.checkpoints.coco_categories import COCO_CLASS_NAMES
from tests.datasets.coco_mini import split_paths
from tests.examples.examples import run_example
from tests.models.detectors import tiny_backbone, tiny_detr

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)


def save_model(folder, label, **settings):
    """Save a tiny detector that sees one object in every image, as large as the image."""
    num_classes = len(COCO_CLASS_NAMES)
    model = tiny_detr(
        num_classes=num_classes, num_queries=100, preprocessor_sizes=(64, 96), **settings
    )
    model({"images": np.zeros((1, 64, 64, 3), "float32")})
    changes = {
        "box_head/layer_2/kernel": lambda kernel: kernel * 0.3,
        "box_head/layer_2/bias": lambda bias: np.array([0.0, 0.0, 1.0, 1.0]),
        "class_head/bias": lambda bias: 8 * np.eye(num_classes + 1)[label],
    }
    for variable in model.weights:
        for path, change in changes.items():
            if variable.path.endswith(path):
                variable.assign(change(variable))
    model.save_to_preset(folder)


def figures_of_file(path, annotations):
    """Return pycocotools' figures for a results.json."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(annotations)
        evaluation = COCOeval(truth, truth.loadRes(str(path)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def printed_figures(output):
    """Return the figures of the printed table, in percent."""
    lines = output.splitlines()
    start = max(index for index, line in enumerate(lines) if line.startswith("AP  "))
    figures = [line.split()[1] for line in lines[start : start + 12]]
    # Where there is no object of a size, pycocotools says -1 and the table nothing.
    return [-100.0 if figure == "-" else float(figure) for figure in figures]


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize("dilation", [False, True])
def test_figures_are_those_of_the_file(coco_mini_dir, tmp_path, monkeypatch, capsys, dilation):
    # Twice there is a dining table as large as the image.
    label = COCO_CLASS_NAMES.index("dining table")
    save_model(tmp_path / "model", label, backbone=tiny_backbone(dilation=dilation))
    path = tmp_path / "results.json"
    options = ["--model", tmp_path / "model", "--data-dir", coco_mini_dir, "--output", path]
    run_example("evaluate_coco", monkeypatch, *options)
    said = capsys.readouterr().out
    # Only a dilated backbone sees its 26 images one by one.
    assert ("26/26" in said) == dilation
    assert "person" in said
    records = json.loads(path.read_text())
    assert len(records) == 26 * 100
    assert {record["category_id"] for record in records} == {67}
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["results.json"]
    expected = 100 * figures_of_file(path, split_paths("validation")[1])
    assert expected[8] > 0
    # The table shows tenths of a percent; the file rounds boxes to a hundredth of a pixel.
    np.testing.assert_allclose(printed_figures(said), expected, atol=0.06)
