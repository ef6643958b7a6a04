"""Examples that train leave alone what they don't resume, and know when they are finished."""

import pytest

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from keras_detr.models import TrainingRun
from tests.examples.examples import run_example as run

OF_TRAIN_COCO = {
    "model": "detr_r50",
    "backbone": "resnet50_imagenet",
    "data_dir": None,
    "epochs": 3,
    "batch_size": 4,
    "short_side": 800,
    "mixed_precision": False,
    "output": None,
}
SETTINGS = {"quickstart": {"epochs": 3}, "train_coco": OF_TRAIN_COCO}


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
