"""The README: its table is generated from the presets, and it reads the same on PyPI."""

import pathlib
import re
import tomllib

import keras_detr

REPOSITORY = pathlib.Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
MOST_LINES = 120
ADDRESS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["urls"]["Source"]
# Where a file of the repository is shown, and where a picture of it is served.
ADDRESSES_OF_FILES = (
    f"{ADDRESS}/blob/main/",
    f"{ADDRESS.replace('github.com', 'raw.githubusercontent.com')}/main/",
)


def preset_table():
    """Return the README's table of presets."""
    lines = [
        "| preset | AP | parameters | short, long side | licence |",
        "|---|---:|---:|---:|---|",
    ]
    presets = {
        **keras_detr.DETR.presets,
        **keras_detr.DeformableDETR.presets,
        **keras_detr.DINODETR.presets,
        **keras_detr.ResNetBackbone.presets,
    }
    for name, preset in presets.items():
        millions = f"{preset.num_parameters / 1e6:.1f} M"
        sides = re.search(
            r"short side (\d+), long side at most (\d+)", preset.published["protocol"]
        )
        sides = "any" if sides is None else ", ".join(sides.groups())
        score = preset.published.get("AP", "")
        cells = (f"`{name}`", score, millions, sides, preset.license)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def links():
    """Return the targets of the README's links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", README)


def test_table_is_that_of_the_presets():
    table = preset_table()
    assert table in README, f"README.md lacks this table:\n{table}"


def test_it_is_short():
    assert len(README.splitlines()) <= MOST_LINES


def test_links_work_outside_of_the_repository():
    assert [link for link in links() if not link.startswith("https://")] == []


def test_files_that_it_names_exist():
    paths = [
        link.removeprefix(address)
        for link in links()
        for address in ADDRESSES_OF_FILES
        if link.startswith(address)
    ]
    paths += re.findall(r"examples/\w+\.py", README)
    assert len(paths) > 10
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []
    own = [link for link in links() if "keras-detr/keras_detr" in link]
    assert all(link.startswith(ADDRESSES_OF_FILES) for link in own)
