"""`keras-detr predict`, `evaluate`, `export` and `info`, on a tiny detector of random weights."""

import json
import types

import keras
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import keras_detr
from keras_detr.cli import command
from keras_detr.cli.arguments import sizes_of
from tests.datasets.folders_of_layouts import NAMES, PARTS, write_coco
from tests.models.detectors import patch_backbone, tiny_detr

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return the path of a saved detector."""
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    keras.utils.set_random_seed(0)
    tiny_detr(
        backbone=patch_backbone(),
        num_classes=len(NAMES),
        class_names=NAMES,
        num_queries=10,
        preprocessor_sizes=(48, 80),
    ).save(path)
    return str(path)


def test_pictures_and_json_of_files(model, tmp_path, capsys):
    folder, output = tmp_path / "photos", tmp_path / "output"
    folder.mkdir()
    Image.fromarray(np.full((40, 60, 3), 90, "uint8")).save(folder / "grey.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    arguments = ["predict", str(folder), "--model", model, "--output", str(output)]
    assert command.main([*arguments, "--confidence-threshold", "0"]) == 1
    said = capsys.readouterr().out
    assert "1 images -> " in said
    assert "1 broken" in said
    found = {entry["path"].rsplit("/", 1)[-1]: entry for entry in content(output)}
    assert found["broken.jpg"]["error"]
    assert len(found["grey.png"]["boxes"]) == len(found["grey.png"]["confidence"]) > 0
    assert set(found["grey.png"]["names"]) <= set(NAMES)
    with Image.open(output / "grey.png.detections.png") as picture:
        assert picture.size[0] > 100
    options = ["--no-pictures", "--confidence-threshold", "1", "--output", str(tmp_path / "none")]
    assert command.main(["predict", str(folder / "grey.png"), "--model", model, *options]) == 0
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["detections.json"]
    assert content(tmp_path / "none")[0]["boxes"] == []


def content(folder):
    return json.loads((folder / "detections.json").read_text())


def test_a_photo_that_is_not_there(model, tmp_path, capsys):
    assert command.main(["predict", str(tmp_path / "gone.jpg"), "--model", model]) == 1
    assert "gone.jpg" in capsys.readouterr().err


def test_metrics_of_each_part(model, tmp_path, capsys):
    write_coco(tmp_path / "data")
    path = tmp_path / "results" / "metrics.json"
    arguments = ["evaluate", str(tmp_path / "data"), "--model", model]
    assert command.main([*arguments, "--per-class", "--output", str(path)]) == 0
    said = capsys.readouterr().out
    assert "test images of" in said
    assert "AP50" in said
    assert "cat" in said
    figures = json.loads(path.read_text())
    assert {"AP", "AP50", "AR100"} <= set(figures)
    assert command.main([*arguments, "--part", "valid"]) == 0
    assert "valid images of" in capsys.readouterr().out


def test_a_part_that_is_not_there(model, tmp_path, capsys):
    write_coco(tmp_path, {"train": PARTS["train"]})
    assert command.main(["evaluate", str(tmp_path), "--model", model]) == 1
    assert "has no valid part" in capsys.readouterr().err


def test_classes_are_matched_by_name(model, tmp_path, capsys):
    write_coco(tmp_path / "data")
    figures = []
    for names in (NAMES, NAMES[::-1]):
        path = tmp_path / f"{names[0]}.keras"
        renamed = keras_detr.load(model)
        renamed.class_names = names
        renamed.save(path)
        arguments = ["evaluate", str(tmp_path / "data"), "--model", str(path)]
        assert command.main([*arguments, "--output", str(tmp_path / "figures.json")]) == 0
        figures.append(json.loads((tmp_path / "figures.json").read_text()))
    assert figures[0] != figures[1]
    renamed.class_names = ("cat", "cow")
    path = tmp_path / "other.keras"
    renamed.save(path)
    assert command.main(["evaluate", str(tmp_path / "data"), "--model", str(path)]) == 1
    assert "The model's classes, cat, cow, aren't those of" in capsys.readouterr().err


def test_export(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(["export", model]) == 0
    assert "tf_saved_model -> tiny_saved_model" in capsys.readouterr().out
    assert (tmp_path / "tiny_saved_model" / "saved_model.pb").is_file()


def test_info(model, capsys):
    assert command.main(["info", model]) == 0
    said = capsys.readouterr().out
    parameters = keras_detr.load(model).count_params()
    assert f"DETR, {parameters:,} parameters" in said
    assert "short side 48, long side at most 80 pixels" in said
    assert "at most 10 an image" in said
    assert "2 classes: cat, dog" in said


@pytest.mark.parametrize(
    ("sizes", "short_side", "expected"),
    [
        ((48, 80), None, (48, 80)),
        ((48, 80), 96, (96, 160)),
        ((48, None), 96, (96, None)),
        (None, None, (800, 1333)),
        (None, 400, (400, 666)),
    ],
)
def test_sizes_of_images(sizes, short_side, expected):
    model = types.SimpleNamespace(preprocessor_sizes=sizes)
    assert sizes_of(model, short_side) == expected


@pytest.mark.parametrize(
    ("sizes", "text"), [(None, "images: not resized"), ((48, None), "long side of any length")]
)
def test_info_of_other_sizes(sizes, text, tmp_path, capsys):
    tiny_detr(backbone=patch_backbone(), preprocessor_sizes=sizes).save(tmp_path / "tiny.keras")
    assert command.main(["info", str(tmp_path / "tiny.keras")]) == 0
    assert text in capsys.readouterr().out
