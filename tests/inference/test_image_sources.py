"""Image files and arrays of every kind as RGB, against pixels that were drawn."""

import numpy as np
import pytest
from PIL import Image

from keras_detr.inference import read_image
from keras_detr.inference.image_sources import find_images
from tests.exif_turns import STORED

# Red, green / blue, white.
CORNERS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], "uint8")
GREY = np.array([[0, 100], [200, 255]], "uint8")


def save(path, array, mode=None, **settings):
    image = Image.fromarray(np.ascontiguousarray(array))
    (image.convert(mode) if mode else image).save(path, **settings)
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours(tmp_path, mode):
    path = save(tmp_path / "image.png", CORNERS, mode)
    np.testing.assert_array_equal(read_image(path), CORNERS)


def test_what_is_transparent_is_left_aside(tmp_path):
    alpha = np.full((2, 2, 1), 7, "uint8")
    path = save(tmp_path / "image.png", np.concatenate([CORNERS, alpha], -1))
    np.testing.assert_array_equal(read_image(path), CORNERS)


def test_cmyk(tmp_path):
    wide = np.repeat(np.repeat(CORNERS, 16, 0), 16, 1)
    path = save(tmp_path / "image.jpg", wide, "CMYK", quality=95)
    # JPEG is lossy; a printed colour goes there and back without black.
    np.testing.assert_allclose(read_image(path)[8::16, 8::16].astype(int), CORNERS, atol=12)


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey(tmp_path, mode):
    grey = GREY if mode != "1" else np.array([[0, 255], [255, 0]], "uint8")
    path = save(tmp_path / "image.png", grey, mode)
    np.testing.assert_array_equal(read_image(path), np.repeat(grey[..., None], 3, -1))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, suffix):
    path = save(tmp_path / f"image.{suffix}", GREY.astype("uint16") * 257)
    np.testing.assert_array_equal(read_image(path), np.repeat(GREY[..., None], 3, -1))


@pytest.mark.parametrize("orientation", STORED)
def test_images_are_turned_as_exif_says(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    right = np.concatenate([CORNERS, CORNERS[:1]])
    path = save(tmp_path / "image.png", STORED[orientation](right), exif=exif)
    np.testing.assert_array_equal(read_image(path), right)


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.fromarray(np.full((4, 4, 3), value, "uint8")) for value in (255, 0)]
    frames[0].save(tmp_path / "image.gif", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "image.gif") == 255).all()


def test_what_cannot_be_read_says_why(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    whole = save(
        tmp_path / "whole.png", np.random.default_rng(0).integers(0, 255, (50, 50, 3), "u1")
    )
    (tmp_path / "half.png").write_bytes(whole.read_bytes()[:3000])
    (tmp_path / "empty.jpg").write_bytes(b"")
    real = Image.fromarray(np.zeros((2, 2), "float32"))
    real.save(tmp_path / "real.tiff")
    for name in ("text.png", "half.png", "empty.jpg", "real.tiff"):
        with pytest.raises(ValueError, match=r"cannot identify|truncated|real numbers"):
            read_image(tmp_path / name)


@pytest.mark.parametrize(
    "array",
    [
        CORNERS,
        CORNERS.astype("float32") + 0.2,
        CORNERS.astype("uint16") * 257,
        np.concatenate([CORNERS, GREY[..., None]], -1),
    ],
    ids=["uint8", "float32", "uint16", "alpha"],
)
def test_arrays(array):
    if array.dtype == "float32":
        array = array.clip(0, 255)
    (found,) = find_images(array)
    assert found.dtype == "uint8"
    np.testing.assert_array_equal(found, CORNERS)


@pytest.mark.parametrize("grey", [GREY, GREY[..., None]])
def test_grey_arrays(grey):
    (found,) = find_images(grey)
    np.testing.assert_array_equal(found, np.repeat(GREY[..., None], 3, -1))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2, 2), "uint8"), r"1, 3 or 4 channels.*\(2, 2, 2\)"),
        (np.zeros((2,), "uint8"), r"Received shape \(2,\)"),
        (np.zeros((0, 2, 3), "uint8"), r"Received shape \(0, 2, 3\)"),
        (np.full((2, 2, 3), 256.0), r"0\.\.255.*256"),
        (np.full((2, 2, 3), -1), r"0\.\.255.*-1"),
        (np.full((2, 2, 3), np.nan), r"0\.\.255.*nan"),
        (np.zeros((2, 2, 3), bool), "bool"),
        ("nowhere.jpg", "no file or folder 'nowhere.jpg'"),
    ],
)
def test_what_is_no_image_is_shown(array, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        find_images(array)


def test_folders_batches_and_lists(tmp_path):
    for name in ("b.png", "a.JPG", "c.txt"):
        save(tmp_path / name, CORNERS, format="PNG")
    assert [path.name for path in find_images(tmp_path)] == ["a.JPG", "b.png"]
    mixed = [str(tmp_path / "b.png"), CORNERS, Image.fromarray(GREY), np.stack([CORNERS, CORNERS])]
    is_array = [isinstance(found, np.ndarray) for found in find_images(mixed)]
    assert is_array == [False, True, True, True, True]
    with pytest.raises(ValueError, match="holds no images"):
        find_images(tmp_path.joinpath("empty").mkdir() or tmp_path / "empty")


@pytest.mark.parametrize("kind", ["grey.png", "rgb.png", "rgba.png", "grey.tif"])
def test_files_of_16_bits_that_would_be_black_pictures(tmp_path, kind):
    for factor in (1, 257):
        path = tmp_path / kind
        if kind.startswith("grey"):
            Image.fromarray(GREY.astype("uint16") * factor).save(path)
        else:
            tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")
            pixels = np.repeat(GREY[..., None], len(kind) - 4, -1).astype("uint16")
            path.write_bytes(tf.io.encode_png(pixels * factor).numpy())
        if factor == 257:
            np.testing.assert_allclose(read_image(path)[..., 0], GREY, atol=1)
            continue
        with pytest.raises(ValueError, match=rf"{kind} .*of 16 bits and none is above 255.*8 bits"):
            read_image(path)
        Image.fromarray(np.zeros((2, 2), "uint16")).save(path)
        read_image(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (CORNERS / 255 * 0.9, r"0\.\.1.*Multiply it by 255.*0\.9"),
        (CORNERS.astype("uint16"), r"uint16 is read as 0\.\.65535.*astype.'uint8'.*255"),
    ],
)
def test_arrays_that_would_be_black_pictures(array, message):
    for images in (array, array[None], [CORNERS, array]):
        with pytest.raises(ValueError, match=message):
            find_images(images)
    find_images([np.zeros_like(array), CORNERS.astype("float32")])


@pytest.mark.parametrize("images", [None, 3, True, {"images": 1}, [None]])
def test_what_is_no_image(images):
    with pytest.raises(ValueError, match="`images` must be paths, arrays or pictures"):
        find_images(images)
