"""Examples that train leave alone what they don't resume, and know when they are finished."""

import importlib.util
import pathlib
import sys

import pytest

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from keras_detr.models import TrainingRun

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
OF_TRAIN_COCO = {
    "model": "detr",
    "preset": None,
    "start": "resnet50_imagenet",
    "train_split": "train",
    "validation_split": "validation",
    "batch_size": 4,
    "short_side": 800,
    "longest_side": 1333,
    "epochs": 3,
    "evaluate_every": 5,
    "learning_rate": None,
    "steps_per_epoch": None,
    "mixed_precision": False,
    "seed": 42,
}
SETTINGS = {"quickstart": {"epochs": 3}, "train_coco": OF_TRAIN_COCO}


def run(name, monkeypatch, *arguments):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    example = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, example)
    spec.loader.exec_module(example)
    monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
    example.main()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_finished_training_says_so(name, tmp_path, monkeypatch, capsys):
    TrainingRun(tmp_path, SETTINGS[name]).finish()
    run(name, monkeypatch, "--epochs", 3, "--output", tmp_path)
    assert "is finished" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("name", SETTINGS)
def test_another_training_is_left_alone(name, tmp_path, monkeypatch):
    TrainingRun(tmp_path, SETTINGS[name])
    (tmp_path / "model.keras").write_text("")
    with pytest.raises(SystemExit, match=r"--output: .*another training: epochs was 3 and is 4"):
        run(name, monkeypatch, "--epochs", 4, "--output", tmp_path)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_folder_of_something_else_is_left_alone(name, tmp_path, monkeypatch):
    (tmp_path / "model.keras").write_text("")
    with pytest.raises(SystemExit, match=r"--output: .*holds no training that could go on"):
        run(name, monkeypatch, "--output", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
