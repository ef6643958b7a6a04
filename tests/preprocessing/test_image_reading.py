"""What of image files is refused, and how much of them is read."""

import os

import numpy as np
import pytest
from PIL import Image

from keras_detr.preprocessing.image_reading import FORMATS, known_formats, read_image


def frames(number):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)) for _ in range(number)]


def test_formats_are_named(tmp_path):
    assert {"BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"} <= set(known_formats()) <= set(FORMATS)
    # It would start another program.
    frames(1)[0].save(tmp_path / "a.eps")
    with pytest.raises(ValueError, match=r"a\.eps can't be read: cannot identify it as one of"):
        read_image(tmp_path / "a.eps")


def test_an_animation_is_read_up_to_its_first_frame(tmp_path):
    path = tmp_path / "a.gif"
    frames(1)[0].save(path)
    expected = read_image(path)
    length = path.stat().st_size
    first, *others = frames(300)
    first.save(path, save_all=True, append_images=others)
    content = path.read_bytes()
    # Nothing of the frames that follow is needed, so they may as well be broken.
    path.write_bytes(content[: length + 50] + b"x" * 1000)
    np.testing.assert_array_equal(read_image(path), expected)


def test_too_many_pixels(tmp_path, monkeypatch):
    frames(1)[0].save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 299)
    with pytest.raises(ValueError, match=r"a\.png can't be read.*600 pixels.*Make it smaller"):
        read_image(tmp_path / "a.png")


def test_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png.*is a named pipe"):
        read_image(tmp_path / "a.png")


def test_transparency_without_a_warning(tmp_path):
    picture = frames(1)[0].convert("P")
    picture.save(tmp_path / "a.png", transparency=bytes(range(256)))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture.convert("RGB"))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_images_stay_as_they_are_stored_where_asked_for(tmp_path, suffix):
    exif = Image.Exif()
    exif[274] = 6
    frames(1)[0].save(tmp_path / f"a.{suffix}", exif=exif)
    assert read_image(tmp_path / f"a.{suffix}").shape == (30, 20, 3)
    stored = read_image(tmp_path / f"a.{suffix}", exif="ignore")
    assert stored.shape == (20, 30, 3)
