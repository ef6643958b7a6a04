"""Run the example on generated folders in both layouts, from a saved tiny detector."""

import importlib.util
import json
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import keras_detr
from keras_detr.evaluation import COCOEvaluation
from tests.models.detectors import patch_backbone, tiny_detr

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)
REPOSITORY = pathlib.Path(__file__).parents[2]
CATEGORIES = [{"id": 5, "name": "square"}, {"id": 2, "name": "bar"}]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location(
        "finetune", REPOSITORY / "examples" / "finetune.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def preset(tmp_path):
    folder = tmp_path / "preset"
    settings = {"num_classes": 7, "num_queries": 100, "preprocessor_sizes": (64, 107)}
    # On a functional model of one's own, as others' backbones are.
    tiny_detr(backbone=patch_backbone(), **settings).save_to_preset(folder)
    return str(folder)


def write_part(images_dir, annotations, number, has_boxes=True):
    images_dir.mkdir(parents=True)
    annotations.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    images, boxes = [], []
    for index in range(number):
        pixels = rng.integers(0, 255, (60, 80, 3), "uint8")
        Image.fromarray(pixels).save(images_dir / f"{index}.png")
        images.append({"id": index, "file_name": f"{index}.png", "width": 80, "height": 60})
        for category, box in ((5, [10, 10, 20, 20]), (2, [40, 10, 30, 5])):
            if has_boxes:
                entry = {"id": len(boxes) + 1, "image_id": index, "category_id": category}
                boxes.append({**entry, "bbox": box})
    content = {"images": images, "annotations": boxes, "categories": CATEGORIES}
    annotations.write_text(json.dumps(content))


def coco_layout(folder):
    write_part(folder / "train2017", folder / "annotations" / "instances_train2017.json", 4)
    write_part(folder / "val2017", folder / "annotations" / "instances_val2017.json", 2)


def roboflow_layout(folder, **settings):
    write_part(folder / "train", folder / "train" / "_annotations.coco.json", 5, **settings)


class Killed(Exception):
    pass


class KilledEvaluation(COCOEvaluation):
    """Evaluate the first epoch, and stop in the second as a process that is killed does."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise Killed
        super().on_epoch_end(epoch, logs)


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def run(example, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["finetune.py", *map(str, arguments)])
    example.main()


@pytest.mark.slow
def test_it_trains_resumes_saves_and_draws(example, preset, tmp_path, monkeypatch, capsys, caplog):
    coco_layout(tmp_path / "data")
    output = tmp_path / "output"
    options = ["--epochs", 2, "--batch-size", 2, "--classes", "bar", "--short-side", 48]
    options += ["--output", output, "--preset", preset]
    with monkeypatch.context() as context:
        context.setattr(example, "COCOEvaluation", KilledEvaluation)
        with pytest.raises(Killed):
            run(example, monkeypatch, tmp_path / "data", *options)
    run(example, monkeypatch, tmp_path / "data", *options)
    assert "goes on with epoch 2 of 2" in caplog.text
    said = capsys.readouterr().out
    assert "training: 4 images, 0 of them empty; 4 boxes; dropped 0 images and 0 boxes" in said
    assert "few or no boxes of bar" in said
    assert "the backbone stays as it is" in said
    assert "best AP" in said
    for name in ("batch.png", "history.png", "predictions.png"):
        with Image.open(output / name) as picture:
            assert picture.size[0] > 300
    model = keras.saving.load_model(output / "model.keras")
    assert model.class_names == ("bar",)
    image = tmp_path / "data" / "val2017" / "0.png"
    (found,) = model.detect(image, confidence_threshold=0.0)
    assert set(found.names) == {"bar"}
    assert model.preprocessor_sizes == (48, 80)
    again = keras_detr.SetPredictionDetector.from_preset(output / "preset")
    assert again.class_names == ("bar",)
    files = content(output)
    assert not (output / "backup").exists()
    run(example, monkeypatch, tmp_path / "data", *options)
    assert "is finished" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"another training: .* classes was \['bar'\] and"):
        run(example, monkeypatch, tmp_path / "data", "--epochs", 2, "--output", output)
    assert content(output) == files


def test_a_folder_of_something_else_is_left_alone(example, tmp_path, monkeypatch):
    roboflow_layout(tmp_path / "data")
    output = tmp_path / "output"
    output.mkdir()
    (output / "model.keras").write_bytes(b"of another training")
    with pytest.raises(SystemExit, match="isn't empty, and holds no training"):
        run(example, monkeypatch, tmp_path / "data", "--output", output)
    assert content(output) == {"model.keras": b"of another training"}


def test_every_fifth_image_is_held_out(example, tmp_path):
    roboflow_layout(tmp_path)
    part, missing = example.find_parts(tmp_path)
    assert missing is None
    training, validation = example.held_out(part)
    assert [image["id"] for image in validation.annotations["images"]] == [0]
    assert [image["id"] for image in training.annotations["images"]] == [1, 2, 3, 4]
    assert {box["image_id"] for box in training.annotations["annotations"]} == {1, 2, 3, 4}
    assert len(validation.annotations["annotations"]) == 2


def test_classes_of_both_parts_are_matched_by_name(example, preset, tmp_path, monkeypatch):
    coco_layout(tmp_path)
    path = tmp_path / "annotations" / "instances_val2017.json"
    annotations = json.loads(path.read_text())
    annotations["categories"] = [{"id": 2, "name": "square"}, {"id": 5, "name": "bar"}]
    path.write_text(json.dumps(annotations))
    training, validation = (example.load(part, False) for part in example.find_parts(tmp_path))
    assert (training.class_names, validation.class_names) == (["bar", "square"], ["square", "bar"])
    validation = example.load(example.find_parts(tmp_path)[1], False, training.class_names)
    first = next(validation.as_numpy_iterator())["bounding_boxes"]
    # In this file the smaller box is the square.
    assert dict(zip(first["classes"], first["area"], strict=True)) == {0: 400, 1: 150}
    annotations["categories"][0]["name"] = "box"
    path.write_text(json.dumps(annotations))
    with pytest.raises(SystemExit, match=r"lacks \['box'\].*missing \['square'\]"):
        run(example, monkeypatch, tmp_path, "--preset", preset, "--output", tmp_path / "output")


@pytest.mark.parametrize(
    ("options", "message"),
    [([], "no boxes, so there is nothing to learn"), (["--classes", "dog"], "no category.*dog")],
)
def test_data_that_cannot_train(example, options, message, tmp_path, monkeypatch):
    roboflow_layout(tmp_path, has_boxes=False)
    with pytest.raises(SystemExit, match=message):
        run(example, monkeypatch, tmp_path, *options)


def test_a_folder_without_annotations(example, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="neither train/_annotations"):
        run(example, monkeypatch, tmp_path)


def test_more_objects_than_queries(example, tmp_path, monkeypatch):
    roboflow_layout(tmp_path / "data")
    folder = tmp_path / "preset"
    tiny_detr(num_queries=1).save_to_preset(folder)
    options = ["--preset", folder, "--output", tmp_path / "output"]
    with pytest.raises(SystemExit, match=r"has 2 objects.*at most 1.*--num-queries 2"):
        run(example, monkeypatch, tmp_path / "data", *options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "isn't JSON"),
        ("[]", "the lists images, annotations, categories"),
        (
            '{"images": [{"id": 1, "file_name": "gone.png"}, {"id": 2, "file_name": "gone.png"}],'
            ' "annotations": [], "categories": [{"id": 1, "name": "cat"}]}',
            "train: ",
        ),
    ],
)
def test_annotations_that_cannot_be_used(example, content, message, tmp_path, monkeypatch):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "_annotations.coco.json").write_text(content)
    with pytest.raises(SystemExit, match=message):
        run(example, monkeypatch, tmp_path)
