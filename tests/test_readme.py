"""The README: its table is generated from the presets, and its example is code."""

import ast
import importlib
import pathlib
import re

import pytest

import keras_detr

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()


def preset_table():
    """Return the README's table of presets."""
    lines = [
        "| preset | weights | parameters | published COCO AP |",
        "|---|---|---:|---:|",
    ]
    presets = {
        **keras_detr.DETR.presets,
        **keras_detr.DeformableDETR.presets,
        **keras_detr.ResNetBackbone.presets,
    }
    for name, preset in presets.items():
        millions = f"{preset.num_parameters / 1e6:.1f} M"
        score = preset.published.get("AP", "")
        lines.append(f"| `{name}` | {preset.weights.repo_id} | {millions} | {score} |")
    return "\n".join(lines) + "\n"


def test_table_is_that_of_the_presets():
    table = preset_table()
    assert table in README, f"README.md lacks this table:\n{table}"


@pytest.mark.parametrize("source", re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL))
def test_an_example_takes_its_names_from_the_package(source):
    imported = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)]
    assert imported
    for node in imported:
        module = importlib.import_module(node.module)
        assert all(hasattr(module, alias.name) for alias in node.names)


def test_files_that_it_names_exist():
    for path in set(re.findall(r"examples/\w+\.py|\w+\.md", README)):
        assert (pathlib.Path(__file__).parents[1] / path).exists()
