"""The README: its table is generated from the presets, and the files that it names are there."""

import pathlib
import re

import keras_detr

WRITTEN_BY_EXAMPLES = {"batch.png", "predictions.png", "photo.png"}
README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()


def preset_table():
    """Return the README's table of presets."""
    lines = [
        "| preset | weights | parameters | published COCO AP | source |",
        "|---|---|---:|---:|---|",
    ]
    presets = {
        **keras_detr.DETR.presets,
        **keras_detr.DeformableDETR.presets,
        **keras_detr.DINODETR.presets,
        **keras_detr.ResNetBackbone.presets,
    }
    for name, preset in presets.items():
        millions = f"{preset.num_parameters / 1e6:.1f} M"
        score, source = preset.published.get("AP", ""), preset.published["source"]
        cells = (f"`{name}`", preset.weights.repo_id, millions, score, source if score else "")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def test_table_is_that_of_the_presets():
    table = preset_table()
    assert table in README, f"README.md lacks this table:\n{table}"


def test_files_that_it_names_exist():
    paths = set(re.findall(r"[\w/]*\w+\.(?:py|md|png|ipynb)\b", README)) - WRITTEN_BY_EXAMPLES
    assert len(paths) > 10
    for path in paths:
        assert (pathlib.Path(__file__).parents[1] / path).exists(), path
