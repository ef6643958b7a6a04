"""Run the example as a user does: its own process, saved models, COCO's images or one's own."""

import contextlib
import importlib.util
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
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keras_detr.checkpoints.coco_categories import COCO_CLASS_NAMES
from tests.datasets.coco_mini import prepare_coco_mini, split_paths
from tests.models.detectors import tiny_backbone, tiny_detr
from tests.quick_compilation import without_quick_compilation

REPOSITORY = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)
OWN_CATEGORIES = {7: "seven", 3: "three"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    tfds.disable_progress_bar()
    folder = tmp_path_factory.mktemp("tfds")
    prepare_coco_mini(folder)
    return folder


@pytest.fixture(scope="module")
def own_data(tmp_path_factory):
    """Give a folder of six images and a COCO-JSON file, more boxes in one than COCO ever has."""
    folder = tmp_path_factory.mktemp("own")
    sizes = [(40 + 10 * index, 90 - 10 * index) for index in range(6)]
    images, boxes = [], []
    for index, (height, width) in enumerate(sizes):
        Image.new("RGB", (width, height), (index, 90, 200)).save(folder / f"{index}.png")
        image_id = 1000 + index
        images.append({"id": image_id, "file_name": f"{index}.png"})
        images[-1].update(height=height, width=width)
        boxes.append((image_id, 7, [0, 0, width, height]))
        boxes += [(image_id, 3, [1, 1, 9, 9])] * (110 if index == 5 else 1)
    annotations = [
        {"id": i + 1, "image_id": image, "category_id": category, "bbox": box, "iscrowd": 0}
        for i, (image, category, box) in enumerate(boxes)
    ]
    for annotation in annotations:
        annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
    categories = [{"id": number, "name": name} for number, name in OWN_CATEGORIES.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "truth.json").write_text(json.dumps(content))
    return folder, folder / "truth.json"


def save_model(folder, num_classes, label, **settings):
    """Save a tiny detector that sees one object in every image, as large as the image."""
    model = tiny_detr(num_classes=num_classes, num_queries=100, **settings)
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


def run_example(*arguments):
    """Run the example on images of at most 96 pixels."""
    sides = ["--short-side", "64", "--longest-side", "96"]
    return subprocess.run(
        [sys.executable, "examples/evaluate_coco.py", *map(str, arguments), *sides],
        cwd=REPOSITORY,
        env={**without_quick_compilation(os.environ), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )


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
def test_figures_are_those_of_the_file(data_dir, tmp_path, dilation):
    # Twice there is a dining table as large as the image.
    label = COCO_CLASS_NAMES.index("dining table")
    save_model(tmp_path / "model", 80, label, backbone=tiny_backbone(dilation=dilation))
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
    expected = 100 * figures_of_file(path, split_paths("validation")[1])
    assert expected[8] > 0
    # The table shows tenths of a percent; the file rounds boxes to a hundredth of a pixel.
    np.testing.assert_allclose(printed_figures(run.stdout), expected, atol=0.06)


@pytest.mark.slow
def test_ones_own_images_and_categories(own_data, tmp_path):
    images, annotations = own_data
    # Sorted by their ids, the category 7 is class 1.
    save_model(tmp_path / "model", 2, 1, class_names=("three", "eight"))
    path = tmp_path / "results.json"
    own = ("--images", images, "--annotations", annotations)
    run = run_example("--preset", tmp_path / "model", *own, "--output", path, "--per-class")
    assert run.returncode == 0, run.stderr[-4000:]
    assert f"class 1 is 'eight' to the model and 'seven' in {annotations}" in run.stdout
    assert "class 0" not in run.stdout
    records = json.loads(path.read_text())
    assert {record["category_id"] for record in records} == {7}
    assert {record["image_id"] for record in records} == set(range(1000, 1006))
    expected = 100 * figures_of_file(path, annotations)
    assert expected[8] > 0
    np.testing.assert_allclose(printed_figures(run.stdout), expected, atol=0.06)


@pytest.mark.slow
def test_a_model_of_other_classes_is_refused(own_data, tmp_path):
    images, annotations = own_data
    save_model(tmp_path / "model", 3, 0)
    path = tmp_path / "results.json"
    own = ("--images", images, "--annotations", annotations)
    run = run_example("--preset", tmp_path / "model", *own, "--output", path)
    assert run.returncode == 1
    assert run.stderr.endswith(f"model has 3 classes, {annotations} has 2\n")
    assert not path.exists()


def example():
    """Import the example into this process."""
    path = REPOSITORY / "examples" / "evaluate_coco.py"
    spec = importlib.util.spec_from_file_location("evaluate_coco", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "photos"], "--images and --annotations go together"),
        (["--images", ".", "--annotations", "gone.json"], "there is no file 'gone.json'"),
    ],
)
def test_wrong_arguments_end_in_a_sentence(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, "argv", ["evaluate_coco.py", *arguments])
    with pytest.raises(SystemExit) as raised:
        example().main()
    assert message in f"{raised.value} {capsys.readouterr().err}"
