"""The recipes of the example, and how it cuts batches for denoising queries."""

import importlib.util
import pathlib
import sys

import numpy as np
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


@pytest.mark.parametrize(
    ("num_objects", "num_rows"), [(0, 20), (7, 20), (20, 20), (21, 50), (51, 100), (100, 100)]
)
def test_spare_boxes_are_cut_off(example, num_objects, num_rows):
    classes = np.full((2, 100), -1)
    classes[0, :num_objects] = 5
    boxes = np.random.default_rng(0).uniform(size=(2, 100, 4))
    batch = {"images": np.zeros((2, 4, 4, 3)), "bounding_boxes": {"boxes": boxes}}
    batch["bounding_boxes"]["classes"] = classes
    (cut,) = tf.data.Dataset.from_tensors(batch).map(example.without_spare_boxes)
    assert set(cut) == {"images", "bounding_boxes"}
    np.testing.assert_array_equal(cut["bounding_boxes"]["boxes"], boxes[:, :num_rows])
    np.testing.assert_array_equal(cut["bounding_boxes"]["classes"], classes[:, :num_rows])
