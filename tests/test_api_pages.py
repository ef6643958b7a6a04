"""The pages of the API name every module that users import from."""

import pathlib

import pytest

import keras_detr

DOCS = pathlib.Path(__file__).parents[1] / "docs"
# Its names are for those who add a detector.
WITHOUT_PAGE = {"checkpoints"}
MODULES = sorted(set(keras_detr._MODULES) - WITHOUT_PAGE)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_page(module):
    page = (DOCS / "api" / f"{module}.md").read_text(encoding="utf-8")
    assert f".. automodule:: keras_detr.{module}" in page
    assert f"\napi/{module}\n" in (DOCS / "index.md").read_text(encoding="utf-8")
