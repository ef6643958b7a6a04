"""`keras-detr train` on a folder: killed, resumed, finished, and refused."""

import argparse
import csv
import json

import keras
import pytest
from PIL import Image

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import keras_detr
from keras_detr import cli
from keras_detr.cli import command
from keras_detr.evaluation import COCOEvaluation
from tests.datasets.folders_of_layouts import PARTS, write_coco, write_yolo
from tests.models.detectors import patch_backbone, tiny_detr

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)
OPTIONS = ["--epochs", "2", "--batch-size", "2", "--short-side", "48"]


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preset") / "tiny"
    keras.utils.set_random_seed(0)
    settings = {"num_classes": 7, "num_queries": 10, "preprocessor_sizes": (64, 107)}
    # On a functional model of one's own, as others' backbones are.
    tiny_detr(backbone=patch_backbone(), **settings).save_to_preset(folder)
    return str(folder)


def train(data, output, preset, *options):
    arguments = ["train", str(data), "--output", str(output), "--model", preset, *OPTIONS]
    return command.main([*arguments, *options])


def log_of(folder):
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class Killed(Exception):
    pass


def die_in_epoch(monkeypatch, number):
    """Let the process end after a line of the log, and before the epoch's backup."""
    monkeypatch.undo()
    on_epoch_end = COCOEvaluation.on_epoch_end

    def dying(self, epoch, logs=None):
        on_epoch_end(self, epoch, logs)
        if epoch == number:
            raise Killed

    monkeypatch.setattr(COCOEvaluation, "on_epoch_end", dying)


@pytest.mark.slow
def test_killed_resumed_and_finished(preset, tmp_path, monkeypatch, capsys):
    write_coco(tmp_path / "data")
    output = tmp_path / "output"
    options = ["--classes", "dog", "--ema", "0.5"]
    die_in_epoch(monkeypatch, 1)
    with pytest.raises(Killed):
        train(tmp_path / "data", output, preset, *options)
    said = capsys.readouterr().out
    assert "train: 5 images, 2 of them empty; 3 boxes" in said
    assert "fewer than 10 boxes of dog" in said
    assert "the backbone stays as it is" in said
    assert [line["epoch"] for line in log_of(output)] == ["1"]
    monkeypatch.undo()
    assert command.main(["train", "--resume", str(output)]) == 0
    said = capsys.readouterr().out
    assert "best AP" in said
    assert "test images:" in said
    assert [line["epoch"] for line in log_of(output)] == ["1", "2"]
    expected = ["batch.png", "config.json", "history.png", "log.csv", "model.keras"]
    expected += ["predictions.png", "preset", "run.json", "test.json"]
    assert sorted(path.name for path in output.iterdir()) == expected
    for name in ("batch.png", "history.png", "predictions.png"):
        with Image.open(output / name) as picture:
            assert picture.size[0] > 300
    for name in ("model.keras", "preset"):
        model = keras_detr.load(output / name)
        assert model.class_names == ("dog",)
        assert model.preprocessor_sizes == (48, 80)
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    assert command.main(["train", "--resume", str(output)]) == 0
    assert "is finished" in capsys.readouterr().out
    assert train(tmp_path / "data", output, preset, "--seed", "1") == 1
    assert "holds another training: " in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before


@pytest.mark.slow
def test_masks_are_trained_scored_and_drawn(tmp_path, capsys):
    write_coco(tmp_path / "data")
    output = tmp_path / "output"
    tiny_detr(num_queries=10).save_to_preset(tmp_path / "detector")
    assert train(tmp_path / "data", output, str(tmp_path / "detector"), "--masks") == 0
    assert "test images:" in capsys.readouterr().out
    (_, line) = log_of(output)
    assert float(line["val_dice_loss"]) > 0
    assert float(line["dice_loss"]) > 0
    assert 0 <= float(line["val_mask_AP"]) <= 1
    assert "mask_AP" in json.loads((output / "test.json").read_text())
    assert type(keras_detr.load(output / "model.keras")) is keras_detr.DETRSegmenter
    evaluate = ["evaluate", str(tmp_path / "data"), "--model", str(output / "preset")]
    assert command.main(evaluate) == 0
    assert "masks" in capsys.readouterr().out
    yolo = tmp_path / "yolo"
    write_yolo(yolo)
    assert train(yolo, tmp_path / "other", str(tmp_path / "detector"), "--masks") == 1
    assert "masks are read from COCO-JSON only" in capsys.readouterr().err


def test_problems_are_listed(preset, tmp_path, monkeypatch, capsys):
    write_yolo(tmp_path / "data")
    label = tmp_path / "data" / "train" / "labels" / "a.txt"
    label.write_text(label.read_text() + "\n9 0.5 0.5 0.1 0.1\n")
    monkeypatch.setattr(cli.train, "_train", lambda *arguments: None)
    monkeypatch.setattr(cli.train, "_score_and_draw", lambda *arguments: None)
    output = tmp_path / "output"
    assert train(tmp_path / "data", output, preset) == 0
    assert f"-> {output / 'problems.txt'}" in capsys.readouterr().out
    (line,) = (output / "problems.txt").read_text().splitlines()
    assert line.startswith("train: unknown_category: ")
    assert "a.txt" in line


def test_a_saved_model_trains_in_mixed_precision(preset, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(cli.train, "_train", lambda model, *arguments: seen.append(model))
    monkeypatch.setattr(cli.train, "_score_and_draw", lambda *arguments: None)
    before = keras.config.dtype_policy()
    write_coco(tmp_path / "data")
    try:
        assert train(tmp_path / "data", tmp_path / "output", preset, "--mixed-precision") == 0
    finally:
        keras.config.set_dtype_policy(before)
    assert seen[0].compute_dtype == seen[0].backbone.layers[-1].compute_dtype == "bfloat16"


def test_a_config_completes_what_is_typed(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    config = {"data": "my_data", "epochs": 7, "seed": 3, "patience": 4, "classes": ["dog"]}
    path.write_text(json.dumps(config))
    seen = []
    monkeypatch.setattr(cli.train, "run", seen.append)
    # 50 is also what counts where nothing is given.
    typed = ["--config", str(path), "--epochs", "50", "--patience", "9", "--output", "again"]
    assert command.main(["train", *typed]) == 0
    (found,) = seen
    assert (found.data, found.seed, found.classes) == ("my_data", 3, ["dog"])
    assert (found.epochs, found.patience, found.output) == (50, 9, "again")


@pytest.mark.parametrize(
    ("parts", "options", "message"),
    [
        (PARTS, ["--classes", "cow"], "--classes must be among"),
        ({"train": {"c.png": PARTS["train"]["c.png"]}}, [], "too few to hold out"),
        ({**PARTS, "valid": {"c.png": PARTS["train"]["c.png"]}}, [], "validation images have no"),
        (PARTS, ["--num-queries", "1"], "pass --num-queries 2"),
        (PARTS, ["--config", "nowhere.json"], "There is no file"),
        (PARTS, ["--resume", "nowhere"], "'nowhere' holds no training"),
        (PARTS, ["--model", "no_such_preset"], "no_such_preset"),
    ],
)
def test_what_cannot_train(parts, options, message, preset, tmp_path, capsys):
    write_coco(tmp_path / "data", parts)
    assert train(tmp_path / "data", tmp_path / "output", preset, *options) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--epochs", "0", "at least 1. Received: 0"),
        ("--epochs", "2.5", "invalid int value: '2.5'"),
        ("--hold-out", "1", "above 0 and below 1. Received: 1"),
        ("--learning-rate", "nan", "above 0. Received: nan"),
        ("--ema", "2", "from 0 to 1. Received: 2"),
    ],
)
def test_numbers_out_of_range(option, value, message, tmp_path, capsys):
    path = tmp_path / "config.json"
    # JSON's NaN is a number for Python.
    path.write_text(f'{{"{option[2:].replace("-", "_")}": {value.replace("nan", "NaN")}}}')
    for arguments in ([option, value], ["--config", str(path)]):
        with pytest.raises(SystemExit) as ended:
            command.main(["train", "my_data", *arguments])
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert f"argument {option}: " in said
        assert message in said


def test_a_folder_of_something_else_is_left_alone(preset, tmp_path, capsys):
    write_coco(tmp_path / "data")
    output = tmp_path / "output"
    output.mkdir()
    (output / "model.keras").write_bytes(b"of another training")
    assert train(tmp_path / "data", output, preset) == 1
    assert "isn't empty, and holds no training" in capsys.readouterr().err
    assert [path.name for path in output.iterdir()] == ["model.keras"]


@pytest.mark.parametrize("content", ["{", "[]", '{"wings": 2}'])
def test_a_config_that_cannot_be_used(content, tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(content)
    assert command.main(["train", "--config", str(path)]) == 1
    assert str(path) in capsys.readouterr().err


def test_data_is_needed(capsys):
    assert command.main(["train"]) == 1
    assert "--config or --resume" in capsys.readouterr().err
    assert command.main(["train", "--classes", "dog", "my_data"]) == 1
    assert "It comes before --classes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("aps", "epochs", "told"),
    [
        ([0.2, 0.5, 0.4], 3, ["best AP 50.0%, of epoch 2 -> m"]),
        ([0.2, 0.1], 9, ["ended after epoch 2 of 9: 1 without a better", "best AP 20.0%"]),
        ([0.0, 5e-6], 2, ["best AP 0.0%, of epoch 2", "AP is still about 0, and the model has"]),
    ],
)
def test_how_a_training_ended(aps, epochs, told):
    arguments = argparse.Namespace(epochs=epochs, patience=1, data="d", output="o")
    lines = cli.train._ending(aps, "m", arguments)
    assert len(lines) == len(told)
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True))


def test_epochs_before_ap_says_something_do_not_end_a_training(tmp_path):
    run = keras_detr.models.TrainingRun(tmp_path / "run", {})
    callbacks = run.callbacks(patience=3, patience_from_epoch=7)
    (stopping,) = [c for c in callbacks if isinstance(c, keras.callbacks.EarlyStopping)]
    assert (stopping.patience, stopping.start_from_epoch) == (3, 7)


@pytest.mark.parametrize(("steps", "first"), [(12, 41), (500, 1), (501, 0), (None, 1)])
def test_the_first_steps_end_no_training(steps, first, tmp_path):
    run = keras_detr.models.TrainingRun(tmp_path / "run", {})
    (stopping,) = [
        callback
        for callback in run.callbacks(patience=3)
        if isinstance(callback, keras.callbacks.EarlyStopping)
    ]
    stopping.set_params({"steps": steps})
    stopping.on_train_begin()
    assert stopping.start_from_epoch == first
