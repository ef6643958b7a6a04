"""Run the example on a generated folder, from a saved tiny detector."""

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import keras_detr
from tests.examples.examples import run_example
from tests.models.detectors import patch_backbone, tiny_detr

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)
CATEGORIES = [{"id": 5, "name": "square"}, {"id": 2, "name": "bar"}]


@pytest.fixture
def preset(tmp_path):
    folder = tmp_path / "preset"
    settings = {"num_classes": 7, "num_queries": 100, "preprocessor_sizes": (64, 107)}
    # On a functional model of one's own, as others' backbones are.
    tiny_detr(backbone=patch_backbone(), **settings).save_to_preset(folder)
    return str(folder)


def write_part(images_dir, annotations, number):
    images_dir.mkdir(parents=True)
    annotations.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    images, boxes = [], []
    for index in range(number):
        pixels = rng.integers(0, 255, (60, 80, 3), "uint8")
        Image.fromarray(pixels).save(images_dir / f"{index}.png")
        images.append({"id": index, "file_name": f"{index}.png", "width": 80, "height": 60})
        for category, box in ((5, [10, 10, 20, 20]), (2, [40, 10, 30, 5])):
            entry = {"id": len(boxes) + 1, "image_id": index, "category_id": category}
            boxes.append({**entry, "bbox": box})
    content = {"images": images, "annotations": boxes, "categories": CATEGORIES}
    annotations.write_text(json.dumps(content))


def coco_layout(folder):
    write_part(folder / "train2017", folder / "annotations" / "instances_train2017.json", 4)
    write_part(folder / "val2017", folder / "annotations" / "instances_val2017.json", 2)


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_it_trains_saves_and_draws(preset, tmp_path, monkeypatch, capsys):
    coco_layout(tmp_path / "data")
    output = tmp_path / "output"
    options = ["--epochs", 1, "--batch-size", 2, "--classes", "bar", "--short-side", 48]
    options += ["--output", output, "--model", preset]
    run_example("finetune", monkeypatch, tmp_path / "data", *options)
    said = capsys.readouterr().out
    assert "train: 4 images, 0 of them empty; 4 boxes; left out 0 images and 0 boxes" in said
    assert "best AP" in said
    for name in ("batch.png", "history.png", "predictions.png"):
        with Image.open(output / name) as picture:
            assert picture.size[0] > 300
    model = keras_detr.load(output / "model.keras")
    assert model.class_names == ("bar",)
    assert model.preprocessor_sizes == (48, 80)
    files = content(output)
    run_example("finetune", monkeypatch, tmp_path / "data", *options)
    assert "is finished" in capsys.readouterr().out
    with pytest.raises(FileExistsError, match=r"another training: .* classes was \['bar'\] and"):
        run_example("finetune", monkeypatch, tmp_path / "data", "--epochs", 1, "--output", output)
    assert content(output) == files
