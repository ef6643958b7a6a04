"""The recipes of the example."""

import importlib.util
import pathlib
import sys

import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")


@pytest.fixture(scope="module")
def example():
    path = pathlib.Path(__file__).parents[2] / "examples" / "train_coco.py"
    spec = importlib.util.spec_from_file_location("train_coco", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("model", "epochs", "epochs_before_decay"),
    [("detr", 300, 200), ("deformable", 50, 40), ("dino", 12, 11)],
)
def test_recipes_are_the_papers(example, model, epochs, epochs_before_decay):
    recipe = example.RECIPES[model]
    assert recipe.epochs == epochs
    assert int(epochs * recipe.share_before_decay) == epochs_before_decay
    assert recipe.preset in recipe.detector.presets


def test_each_recipe_can_be_chosen(example, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train_coco.py", "--model", "dino"])
    assert example.parse_arguments().model == "dino"
