"""The example trains each paper's recipe, on the real sample of COCO."""

import pytest

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

import keras_detr
from tests.examples.examples import load_example, run_example
from tests.models.detectors import tiny_backbone, tiny_detr

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)


@pytest.mark.parametrize(
    ("name", "epochs"), [("DETR", (300, 200)), ("DeformableDETR", (50, 40)), ("DINODETR", (12, 11))]
)
def test_recipes_are_the_papers(name, epochs):
    assert load_example("train_coco").EPOCHS[name] == epochs
    assert hasattr(keras_detr, name)


@pytest.mark.slow
@pytest.mark.realdata
def test_it_trains_on_a_backbone_of_its_own(coco_mini_dir, tmp_path, monkeypatch, capsys):
    tiny_detr(num_classes=80, num_queries=100).save_to_preset(tmp_path / "model")
    backbone = tiny_backbone()
    monkeypatch.setattr(
        keras_detr.ResNetBackbone, "from_preset", classmethod(lambda cls, preset: backbone)
    )
    compile_model = keras_detr.DETR.compile

    def compile_eagerly(self, *arguments, **settings):
        # Batches are of many shapes, and few: a step costs less than to trace it.
        compile_model(self, *arguments, **{**settings, "run_eagerly": True})

    monkeypatch.setattr(keras_detr.DETR, "compile", compile_eagerly)
    options = ["--model", tmp_path / "model", "--data-dir", coco_mini_dir, "--epochs", 1]
    options += ["--short-side", 64, "--batch-size", 26, "--output", tmp_path / "output"]
    run_example("train_coco", monkeypatch, *options)
    assert "the model of the best validation AP" in capsys.readouterr().out
    model = keras_detr.load(tmp_path / "output" / "model.keras")
    # The stem is frozen, so it is still the backbone's.
    stem, expected = (m.weights[0].numpy() for m in (model.backbone, backbone))
    assert (stem == expected).all()
    run_example("train_coco", monkeypatch, *options)
    assert "is finished" in capsys.readouterr().out
