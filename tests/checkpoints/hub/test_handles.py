"""Handles of repositories, and hints where something else is written."""

import pytest

from keras_detr.checkpoints.hub.folder import local_file, pinned
from keras_detr.checkpoints.hub.handles import handle_parts, hub_hint


@pytest.mark.parametrize(
    ("handle", "parts"),
    [
        ("hf://owner/name", ("owner/name", None)),
        ("hf://o-w.n_er/na.me", ("o-w.n_er/na.me", None)),
        ("hf://owner/name@v1.0", ("owner/name", "v1.0")),
        ("hf://owner/name@refs/pr/1", ("owner/name", "refs/pr/1")),
        ("hf://name", None),
        ("hf://owner/name/more", None),
        ("hf://owner/name@", None),
        ("owner/name", None),
    ],
)
def test_parts(handle, parts):
    assert handle_parts(handle) == parts


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("owner/name", "hf://owner/name"),
        ("owner/name@v1", "hf://owner/name@v1"),
        ("https://huggingface.co/owner/name", "hf://owner/name"),
        ("huggingface.co/owner/name", None),
        ("hf://owner/name", None),
        ("./owner/name", None),
        ("../name", None),
        ("/owner/name", None),
        ("detr_r50", None),
    ],
)
def test_hints(text, meant):
    hint = hub_hint(text)
    assert hint == (f". If it is a repository of the Hub, write '{meant}'" if meant else "")


def test_local_folders_stay_as_they_are(tmp_path):
    assert pinned(tmp_path) is tmp_path
    assert pinned("detr_r50") == "detr_r50"
    assert local_file(tmp_path, "config.json") == tmp_path / "config.json"
