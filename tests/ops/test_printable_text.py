"""Text for messages holds no character that acts on a terminal or a log."""

import json
import logging

import pytest

from keras_detr.datasets import load_coco_json
from keras_detr.ops.printable_text import counted, did_you_mean, printable
from keras_detr.preprocessing.image_reading import read_image


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dogs and cats/é 犬.jpg", "dogs and cats/é 犬.jpg"),
        ("a\nWARNING: all is lost", "a\\nWARNING: all is lost"),
        ("\x1b[2Ja\rb\x00", "\\x1b[2Ja\\rb\\x00"),
        ("\udcff\u202e", "\\udcff\\u202e"),
    ],
)
def test_only_what_cannot_be_printed_is_escaped(text, expected):
    assert printable(text) == expected
    assert printable(text).encode("utf-8")


def test_file_names_forge_no_lines(tmp_path, caplog):
    name = "a\nERROR: forged\x1b[31m.jpg"
    (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"a\\nERROR: forged\\x1b\[31m\.jpg can't be read"):
        read_image(tmp_path / name)
    images = [{"id": number, "file_name": file} for number, file in enumerate((name, "none\r.jpg"))]
    content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with (
        caplog.at_level(logging.WARNING, "keras_detr"),
        pytest.raises(ValueError, match=r"forged\\x1b") as raised,
    ):
        load_coco_json(tmp_path, tmp_path / "annotations.json")
    for text in (str(raised.value), caplog.text):
        assert "\x1b" not in text
        assert "\r" not in text
        assert not any(line.startswith("ERROR: forged") for line in text.splitlines())


@pytest.mark.parametrize(
    ("number", "noun", "expected"),
    [(1, "image", "1 image"), (0, "image", "0 images"), (1, "box", "1 box"), (2, "box", "2 boxes")],
)
def test_counted(number, noun, expected):
    assert counted(number, noun) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Dog", " Did you mean 'dog'?"), ("carr", " Did you mean 'Car'?"), ("elephant", "")],
)
def test_did_you_mean(name, expected):
    assert did_you_mean(name, ["cat", "dog", "Car"]) == expected
