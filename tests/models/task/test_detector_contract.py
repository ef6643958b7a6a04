"""The contract of a detector: all that is asked of it is declared, and the guide names it."""

import ast
import inspect
import pathlib
import re

import pytest

from keras_detr.layers import SetPredictionDecoder
from keras_detr.models import SetPredictionDetector
from keras_detr.models.task import DetectorContract
from tests.models.detectors import DETECTORS, tiny_backbone

ROOT = pathlib.Path(__file__).parents[3]
MODELS = ROOT / "keras_detr" / "models"
HOOKS = sorted(
    {*DetectorContract.__annotations__, *vars(DetectorContract)}
    - {name for name in vars(DetectorContract) if name.startswith("__")}
)


def table_of_the_guide():
    """Return the part of the guide that lists a detector's duties."""
    guide = (ROOT / "docs" / "adding_a_detector.md").read_text(encoding="utf-8")
    return guide.split("## What a detector says")[1].split("Besides:")[0]


@pytest.mark.parametrize("name", HOOKS)
def test_the_guide_names_each_hook(name):
    assert f"`{name}`" in table_of_the_guide()


def test_the_guide_names_no_other_hook():
    rows = [line for line in table_of_the_guide().splitlines() if line.startswith("| ")]
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[2])]
    assert sorted(names) == HOOKS


def names_asked_of_a_detector():
    """Return the attributes that the task and the loading code read of a detector."""
    names = set()
    for path in sorted((MODELS / "task").rglob("*.py")) + sorted((MODELS / "presets").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        is_of_task = any(base.__name__ in classes for base in SetPredictionDetector.__mro__)
        variables = {"cls", "detector", "model"} | ({"self"} if is_of_task else set())
        names |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in variables
        }
    return names


def test_whatever_the_task_asks_of_a_detector_is_declared():
    class Bare(SetPredictionDetector):
        pass

    bare = Bare(tiny_backbone(), 3, "xyxy", SetPredictionDecoder("xyxy"))
    bare.built = True
    bare.compile(optimizer="adam")
    undeclared = {
        name
        for name in names_asked_of_a_detector()
        if not (hasattr(Bare, name) or hasattr(bare, name))
    }
    assert {"neck", "num_queries", "checkpoint_table"} <= undeclared <= set(HOOKS)


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_keep_the_signatures(name):
    cls = type(DETECTORS[name].build())
    for hook in HOOKS:
        declared = getattr(DetectorContract, hook, None)
        if inspect.isfunction(declared) or inspect.ismethod(declared):
            own = list(inspect.signature(getattr(cls, hook)).parameters)
            expected = list(inspect.signature(declared).parameters)
            if hook == "predict_set":
                # For denoising queries and for masks, as the contract says.
                expected += [n for n in ("targets", "confidence_threshold") if n in own]
            assert own == expected, hook
