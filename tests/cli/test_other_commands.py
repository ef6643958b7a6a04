"""`keras-detr predict`, `evaluate`, `export` and `info`, on a tiny detector of random weights."""

import json
import shutil
import types

import keras
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import keras_detr
from keras_detr import cli
from keras_detr.cli import command
from keras_detr.cli.settings import sizes_of
from keras_detr.datasets import load_folder
from tests.datasets.folders_of_layouts import NAMES, PARTS, write_coco, write_yolo
from tests.models.detectors import DETECTORS, patch_backbone, tiny_detr

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
    assert "1 image -> " in said
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


def test_images_are_resized_as_asked(model, tmp_path, monkeypatch):
    Image.fromarray(np.full((40, 60, 3), 90, "uint8")).save(tmp_path / "grey.png")
    seen = []

    def detect(self, images, **settings):
        seen.append(self.preprocessor_sizes)
        return []

    monkeypatch.setattr(keras_detr.DETR, "detect", detect)
    for options in ([], ["--short-side", "96"]):
        arguments = ["predict", str(tmp_path / "grey.png"), "--model", model, *options]
        assert command.main([*arguments, "--output", str(tmp_path / "output")]) == 0
    assert seen == [(48, 80), (96, 160)]


def test_metrics_of_each_part(model, tmp_path, capsys):
    write_coco(tmp_path / "data")
    folder = tmp_path / "results"
    arguments = ["evaluate", str(tmp_path / "data"), "--model", model]
    assert command.main([*arguments, "--per-class", "--output", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "test images of" in said
    assert "AP50" in said
    assert "cat" in said
    figures = json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)
    # Of its objects there are none.
    assert figures["per_class"]["dog"]["AP"] is None
    assert {"AP", "AP50", "AR100", "F1", "confidence_threshold"} <= set(figures)
    assert set(figures["per_class"]) == set(NAMES)
    assert f"at confidence {figures['confidence_threshold']:.2f}" in said
    curves = json.loads((folder / "curves.json").read_text())
    assert curves["num_objects"] == [1, 0]
    matrix = json.loads((folder / "confusion_matrix.json").read_text())
    assert matrix["confidence_threshold"] == figures["confidence_threshold"]
    assert sum(matrix["counts"][0]) == 1
    for name in ("precision_recall.png", "confusion_matrix.png"):
        with Image.open(folder / name) as picture:
            assert picture.size[0] > 300
    records = json.loads((folder / "results.json").read_text())
    # Ids of the test part's own file, in which their order is another.
    assert {record["category_id"] for record in records} <= {4, 5}
    assert len(records) == 10
    assert command.main([*arguments, "--part", "valid", "--short-side", "64"]) == 0
    assert "valid images of" in capsys.readouterr().out


def test_images_and_a_file_of_annotations(model, tmp_path, capsys):
    write_coco(tmp_path)
    file = str(tmp_path / "valid" / "_annotations.coco.json")
    arguments = ["evaluate", str(tmp_path / "valid"), "--annotations", file, "--model", model]
    assert command.main(arguments) == 0
    assert f"images of {file}:" in capsys.readouterr().out


def test_yolo_has_no_ids_to_write(model, tmp_path):
    write_yolo(tmp_path / "data")
    arguments = ["evaluate", str(tmp_path / "data"), "--model", model]
    assert command.main([*arguments, "--output", str(tmp_path / "results")]) == 0
    assert not (tmp_path / "results" / "results.json").exists()


def test_a_dilated_backbone_sees_images_one_by_one(model, tmp_path, monkeypatch):
    write_coco(tmp_path / "data")
    sizes = []
    batches_of = cli.evaluate.evaluation_batches
    monkeypatch.setattr(keras_detr.DETR, "is_trained_unpadded", True)
    monkeypatch.setattr(
        cli.evaluate,
        "evaluation_batches",
        lambda data, *arguments, **settings: (
            sizes.append(arguments) or batches_of(data, *arguments, **settings)
        ),
    )
    assert command.main(["evaluate", str(tmp_path / "data"), "--model", model]) == 0
    assert sizes == [((48, 80), None)]


def test_coco_comes_through_tfds(model, tmp_path, monkeypatch, capsys):
    write_coco(tmp_path)
    asked = []

    def load_coco(split, **settings):
        asked.append((split, settings["data_dir"], settings["crowds"]))
        return load_folder(tmp_path, bounding_box_format="rel_xyxy").valid

    monkeypatch.setattr(cli.evaluate, "load_coco", load_coco)
    assert command.main(["evaluate", "coco/2017", "--data-dir", "there", "--model", model]) == 0
    assert asked == [("validation", "there", "keep")]
    assert "validation images of coco/2017" in capsys.readouterr().out


def test_coco_has_no_annotated_test_part(model, capsys):
    assert command.main(["evaluate", "coco/2017", "--part", "test", "--model", model]) == 1
    assert "pass another --part" in capsys.readouterr().err


def test_a_part_that_is_not_there(model, tmp_path, capsys):
    write_coco(tmp_path, {"train": PARTS["train"]})
    assert command.main(["evaluate", str(tmp_path), "--model", model]) == 1
    assert "has no valid part" in capsys.readouterr().err


def test_images_that_training_held_out_are_scored(model, tmp_path, capsys):
    write_coco(tmp_path / "data", {"train": PARTS["train"]})
    config = {"hold_out": 0.4, "seed": 3, "format": "auto", "classes": list(NAMES[::-1])}
    config["data"] = str(tmp_path / "data")
    (tmp_path / "config.json").write_text(json.dumps(config))
    shutil.copy(model, tmp_path / "model.keras")
    arguments = ["evaluate", str(tmp_path / "data"), "--model", str(tmp_path / "model.keras")]
    assert command.main([*arguments, "--output", str(tmp_path / "results")]) == 0
    assert "held-out images of" in capsys.readouterr().out
    held_out = load_folder(tmp_path / "data", hold_out=0.4, seed=3).valid
    records = json.loads((tmp_path / "results" / "results.json").read_text())
    assert {record["image_id"] for record in records} == {int(e["image_id"]) for e in held_out}
    # The folder of a training is its best model.
    (tmp_path / "log.csv").write_text("")
    arguments[-1] = str(tmp_path)
    assert command.main(arguments) == 0
    assert "held-out images of" in capsys.readouterr().out
    # Of another training nothing is known.
    (tmp_path / "config.json").write_text(json.dumps({**config, "data": "/elsewhere"}))
    assert command.main(arguments) == 1
    assert "To score what `keras-detr train` held out" in capsys.readouterr().err
    options = ["--hold-out", "0.4", "--seed", "3", "--output", str(tmp_path / "again")]
    assert command.main([*arguments, *options]) == 0
    again = json.loads((tmp_path / "again" / "results.json").read_text())
    assert again == records


def test_classes_are_matched_by_name(model, tmp_path, capsys):
    write_coco(tmp_path / "data")
    figures = []
    for names in (NAMES, NAMES[::-1]):
        path = tmp_path / f"{names[0]}.keras"
        renamed = keras_detr.load(model)
        renamed.class_names = names
        renamed.save(path)
        arguments = ["evaluate", str(tmp_path / "data"), "--model", str(path)]
        assert command.main([*arguments, "--output", str(tmp_path / "output")]) == 0
        figures.append(json.loads((tmp_path / "output" / "metrics.json").read_text()))
    assert figures[0] != figures[1]
    renamed.class_names = ("cat", "cow")
    path = tmp_path / "other.keras"
    renamed.save(path)
    assert command.main(["evaluate", str(tmp_path / "data"), "--model", str(path)]) == 1
    assert "The model's classes are cat, cow." in (said := capsys.readouterr()).err
    assert "dog would never be found" in said.err


def test_damaged_images_are_left_out(model, tmp_path, capsys, caplog):
    write_coco(tmp_path / "data")
    (tmp_path / "data" / "train" / "a.png").write_bytes(b"no image")
    arguments = ["evaluate", str(tmp_path / "data"), "--model", model, "--part", "train"]
    assert command.main(arguments) == 0
    assert "a.png can't be read" in caplog.text
    assert "train images of" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_a_file_is_no_output(name, model, tmp_path, capsys):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"precious")
    assert command.main([name, str(tmp_path), "--model", model, "--output", str(path)]) == 1
    assert "--output must name a folder: " in capsys.readouterr().err
    assert path.read_bytes() == b"precious"


def test_data_with_some_of_the_classes(tmp_path, capsys):
    """Figures are those of a model whose only classes these are."""
    write_coco(tmp_path / "data")
    model = DETECTORS["detr"].build(
        num_classes=4, class_names=("dog", "cow", "cat", "hen"), preprocessor_sizes=(48, 80)
    )
    model.save(tmp_path / "model.keras")
    arguments = ["evaluate", str(tmp_path / "data"), "--model", str(tmp_path / "model.keras")]
    assert command.main([*arguments, "--per-class", "--output", str(tmp_path / "output")]) == 0
    said = capsys.readouterr().out
    assert "has only 2 of the model's 4 classes" in said
    figures = json.loads((tmp_path / "output" / "metrics.json").read_text())
    assert 0 <= figures["AP"] <= 1


def test_classes_without_names_cannot_be_matched(tmp_path, capsys):
    write_coco(tmp_path / "data")
    tiny_detr(num_classes=4, preprocessor_sizes=(48, 80)).save(tmp_path / "model.keras")
    arguments = ["evaluate", str(tmp_path / "data"), "--model", str(tmp_path / "model.keras")]
    assert command.main(arguments) == 1
    said = capsys.readouterr().err
    assert "The model's 4 classes have no names" in said
    assert "which has 2: cat, dog. Name them" in said


def test_export(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(["export", model]) == 0
    assert "tf_saved_model -> tiny_saved_model" in capsys.readouterr().out
    assert (tmp_path / "tiny_saved_model" / "saved_model.pb").is_file()


@pytest.mark.parametrize("is_same", [True, False])
def test_an_export_is_compared_on_demand(is_same, model, tmp_path, monkeypatch, capsys):
    Image.fromarray(np.full((40, 60, 3), 90, "uint8")).save(tmp_path / "grey.png")
    asked = []

    class Comparison:
        def __init__(self, shape):
            self.is_same = is_same or shape[0] == 40

        def __str__(self):
            return "boxes differ"

    def compare_export(model, path, format, *, image):
        asked.append((path, format))
        return [Comparison(image.shape), Comparison((3,))]

    monkeypatch.setattr(cli.export, "compare_export", compare_export)
    monkeypatch.setattr(keras_detr.DETR, "export", lambda self, path, **settings: None)
    options = ["--format", "onnx", "--image", str(tmp_path / "grey.png"), "--check"]
    assert command.main(["export", model, *options]) == int(not is_same)
    assert asked == [("tiny.onnx", "onnx")]
    assert capsys.readouterr().out.count("boxes differ") == 2


def test_info(model, capsys):
    assert command.main(["info", model]) == 0
    said = capsys.readouterr().out
    parameters = keras_detr.load(model).count_params()
    assert f"DETR, {parameters:,} parameters" in said
    assert "short side 48, long side at most 80 pixels" in said
    assert "at most 10 an image" in said
    assert "2 classes: cat, dog" in said


def test_info_downloads_no_weights(monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert command.main(["info", "detr_r50"]) == 0
    assert "80 classes: person, bicycle" in capsys.readouterr().out


def test_exports_are_named_after_their_training(tmp_path, monkeypatch, capsys):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = tiny_detr(backbone=patch_backbone())
    finally:
        keras.config.set_dtype_policy(before)
    run = keras_detr.models.TrainingRun(tmp_path / "cats", {})
    half.save(run.best_path)
    written = []

    def export(model, path, **settings):
        written.append((path, model.backbone.layers[-1].compute_dtype))

    monkeypatch.setattr(keras_detr.DETR, "export", export)
    for source in (run.folder, run.best_path):
        assert command.main(["export", str(source), "--format", "onnx"]) == 0
        assert command.main(["export", str(source)]) == 0
    assert written == [("cats.onnx", "float32"), ("cats_saved_model", "bfloat16")] * 2


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
