"""The pages of the API name every room that users import from."""

import pathlib

import pytest

import keras_detr

DOCS = pathlib.Path(__file__).parents[1] / "docs"
# Its names are for those who add a detector.
WITHOUT_PAGE = {"checkpoints"}
ROOMS = sorted(set(keras_detr._ROOMS) - WITHOUT_PAGE)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_its_page(room):
    page = (DOCS / "api" / f"{room}.md").read_text(encoding="utf-8")
    assert f".. automodule:: keras_detr.{room}" in page
    assert f"\napi/{room}\n" in (DOCS / "index.md").read_text(encoding="utf-8")
