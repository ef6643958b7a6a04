"""Run the example on a folder of images of all kinds, with a tiny detector of random weights."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from tests.examples.examples import run_example
from tests.models.detectors import tiny_detr

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)
TURNED = 6
LEFT, RIGHT = (200, 40, 30), (20, 60, 180)


def write_images(folder):
    """Write the same image, red on the left and blue on the right, in many ways."""
    folder.mkdir()
    pixels = np.empty((60, 80, 3), "uint8")
    pixels[:, :40], pixels[:, 40:] = LEFT, RIGHT
    image = Image.fromarray(pixels)
    image.save(folder / "landscape.png")
    exif = Image.Exif()
    exif[0x0112] = TURNED
    image.rotate(90, expand=True).save(folder / "exif.jpg", exif=exif, quality=95)
    image.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    image.convert("RGBA").save(folder / "rgba.png")
    Image.fromarray(pixels[..., 0].astype("uint16") * 257).save(folder / "sixteen.png")
    image.convert("L").save(folder / "grey.png")
    image.resize((1, 1)).save(folder / "one.png")
    image.resize((30, 90)).save(folder / "portrait.png")
    (folder / "broken.jpg").write_bytes((folder / "cmyk.jpg").read_bytes()[:400])
    (folder / "notes.txt").write_text("no image")


def test_a_folder_of_all_kinds(tmp_path, monkeypatch, capsys, caplog):
    folder, output = tmp_path / "pictures", tmp_path / "output"
    write_images(folder)
    settings = {"num_classes": 2, "class_names": ("cat", "dog"), "preprocessor_sizes": (64, 107)}
    tiny_detr(**settings).save_to_preset(tmp_path / "preset")
    options = ["--output", output, "--confidence-threshold", 0.999]
    with pytest.raises(SystemExit) as stopped:
        run_example("predict", monkeypatch, folder, "--model", tmp_path / "preset", *options)
    # A script that calls it learns of the broken file, and the rest is done.
    assert stopped.value.code == 1
    assert "broken.jpg can't be read" in caplog.text
    assert "images read: 8, broken: 1" in capsys.readouterr().out
    content = json.loads((output / "detections.json").read_text())
    content = [entry for entry in content if entry["error"] is None]
    sizes = {pathlib.Path(entry["path"]).name: tuple(entry["image_size"]) for entry in content}
    upright = ("cmyk.jpg", "exif.jpg", "grey.png", "landscape.png", "rgba.png", "sixteen.png")
    assert sizes == {
        **dict.fromkeys(upright, (60, 80)),
        "one.png": (1, 1),
        "portrait.png": (90, 30),
    }
    for name in ("cmyk.jpg", "exif.jpg", "landscape.png", "rgba.png"):
        with Image.open(output / f"{name}.detections.png") as picture:
            drawn = np.asarray(picture.convert("RGB")).astype(int)
        middle, (height, width) = len(drawn) // 2, drawn.shape[:2]
        for column, color in ((width // 4, LEFT), (3 * width // 4, RIGHT)):
            # CMYK and JPEG move colors a little.
            np.testing.assert_allclose(drawn[middle, column], color, atol=12)
        assert height < width
