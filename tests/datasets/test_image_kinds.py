"""Images of every kind, whole and broken, through every loader of files."""

# ruff: noqa: E402
import json
import logging
import os
import shutil

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow isn't installed")

from PIL import Image, features

from keras_detr.datasets import load_coco_json, load_voc, load_yolo
from keras_detr.preprocessing.image_reading import read_image

HEIGHT, WIDTH = 20, 30


def load_as_coco(folder, **settings):
    entries = [{"id": i, "file_name": name} for i, name in enumerate(sorted(os.listdir(folder)))]
    boxes = [{"image_id": e["id"], "category_id": 1, "bbox": [1, 2, 9, 9]} for e in entries]
    content = {"images": entries, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    return load_coco_json(folder, json.loads(json.dumps(content)), **settings)


def load_as_yolo(folder, **settings):
    folder = folder.parent
    (folder / "data.yaml").write_text("train: images\nnames: [cat]")
    # Labels without an image would be reported.
    shutil.rmtree(folder / "labels", ignore_errors=True)
    (folder / "labels").mkdir()
    for name in os.listdir(folder / "images"):
        (folder / "labels" / f"{name.rsplit('.')[0]}.txt").write_text("0 0.5 0.5 0.1 0.1")
    return load_yolo(folder, shuffle_files=False, **settings)


def load_as_voc(folder, **settings):
    names = sorted(name.rsplit(".")[0] for name in os.listdir(folder))
    folder = folder.parent
    for part in ("Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    box = "<xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax>"
    entry = f"<object><name>cat</name><bndbox>{box}</bndbox></object>"
    for name in names:
        path = folder / "Annotations" / f"{name}.xml"
        path.write_text(f"<annotation>{entry}</annotation>")
    (folder / "ImageSets/Main/train.txt").write_text("\n".join(names))
    if not (folder / "JPEGImages").exists():
        (folder / "JPEGImages").symlink_to("images")
    return load_voc(folder, "train", shuffle_files=False, **settings)


LOADERS = {"coco": load_as_coco, "yolo": load_as_yolo, "voc": load_as_voc}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def picture(mode="RGB"):
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    image = Image.fromarray(pixels)
    if mode == "I;16":
        return Image.fromarray(pixels.view(np.uint16)[..., 0])
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


@pytest.mark.parametrize("loader", LOADERS)
def test_elements_carry_their_format_and_it_is_the_models_by_default(folder, loader):
    picture().save(folder / "a.png")
    for settings, expected in (({}, b"xyxy"), ({"bounding_box_format": "xywh"}, b"xywh")):
        (element,) = LOADERS[loader](folder, **settings).as_numpy_iterator()
        assert element["bounding_box_format"] == expected
        corner_or_size = element["bounding_boxes"]["boxes"][0, 2:]
        assert (corner_or_size > 1).all()


def write_kinds(folder):
    """Write images of many kinds; the stems of their names differ."""
    modes = {
        "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
        "jpg": ("L", "RGB", "CMYK"),
        "bmp": ("1", "L", "P", "RGB"),
        "tif": ("L", "P", "RGB", "RGBA", "CMYK", "I;16"),
        "gif": ("P",),
        "ppm": ("RGB",),
    }
    modes |= {"webp": ("RGB", "RGBA")} if features.check("webp") else {}
    modes |= {"avif": ("RGB", "RGBA")} if features.check("avif") else {}
    for suffix, names in modes.items():
        for mode in names:
            picture(mode).save(folder / f"{suffix}_{mode}.{suffix}".replace(";", ""))
    picture("P").save(folder / "palette.png", transparency=bytes(range(256)))
    picture().save(folder / "progressive.jpeg", progressive=True)
    exif = Image.Exif()
    exif[274] = 6
    for suffix in ("jpg", "png", "tiff"):
        picture().save(folder / f"turned_{suffix}.{suffix}", exif=exif)
    for suffix in {"gif", "png", *({"webp"} & set(modes))}:
        picture().save(
            folder / f"moving_{suffix}.{suffix}", save_all=True, append_images=[picture("L")] * 3
        )


def write_broken(folder):
    """Write a whole image and some whose headers are right; return the names of these."""
    picture().save(folder / "a.png")
    names = []
    for suffix in ("jpg", "tif", "png"):
        path = folder / f"half_{suffix}.{suffix}"
        Image.effect_noise((300, 200), 90).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
        names.append(path.name)
    return names


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_every_kind_has_the_pixels_that_detect_sees(load, folder):
    write_kinds(folder)
    dataset = load(folder)
    assert dataset.report.counts == {"exif_orientation": 3}
    elements = list(dataset.as_numpy_iterator())
    assert len(elements) == len(dataset) == len(os.listdir(folder)) > 25
    for element in elements:
        path = dataset.file_names[int(element["image_id"])]
        expected = read_image(path)
        difference = np.abs(element["images"].astype(int) - expected)
        # Two builds of libjpeg may round apart.
        assert difference.mean() < (1 if path.endswith(("jpg", "jpeg")) else 1e-9), path


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_what_looks_like_an_image_is_counted(load, folder):
    write_broken(folder)
    picture().save(folder / "b.png")
    for name in ("text.tiff", "text2.webp", "text3.heic", "text4.tga"):
        (folder / name).write_text("no image")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "folder.bmp").mkdir()
    report = load(folder).report
    assert report.counts == {"unreadable_file": 7, "box_of_dropped_image": 7}
    assert report.num_images_read == len(os.listdir(folder))
    for name in ("pipe.jpg", "zero.png", "folder.bmp"):
        assert f"{name}: no regular file" in " ".join(map(str, report.problems))


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_black_pictures_of_16_bits_are_told(load, folder):
    picture().save(folder / "a.png")
    Image.fromarray(np.full((HEIGHT, WIDTH), 200, "uint16")).save(folder / "deep.png")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"deep\.png.*none is above 255"):
        list(load(folder))
    report = load(folder, broken_images="find").report
    assert report.counts == {"unreadable_file": 1, "box_of_dropped_image": 1}
    assert "save it with 8 bits" in str(report)


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
class TestBrokenPixels:
    def test_the_error_names_the_file(self, load, folder):
        names = write_broken(folder)
        for name in names:
            for other in set(names) - {name}:
                (folder / other).unlink(missing_ok=True)
            dataset = load(folder)
            assert dataset.report.problems == []
            message = rf"{name} can.+t be read: .*truncated.*broken_images=.+find"
            with pytest.raises(tf.errors.InvalidArgumentError, match=message):
                list(dataset)
            write_broken(folder)

    def test_they_are_found_before_training(self, load, folder):
        names = write_broken(folder)
        dataset = load(folder, broken_images="find")
        assert dataset.report.counts == {"unreadable_file": 3, "box_of_dropped_image": 3}
        assert {name for name in names if name in str(dataset.report)} == set(names)
        assert len(list(dataset)) == len(dataset) == 1

    def test_they_are_skipped_and_counted(self, load, folder, caplog):
        names = write_broken(folder)
        dataset = load(folder, broken_images="skip")
        report = dataset.report
        assert (report.num_images, report.num_boxes) == (4, 4)
        with caplog.at_level(logging.WARNING, "keras_detr"):
            for _ in range(2):
                assert len(list(dataset)) == 1
        assert (report.num_images, report.num_boxes) == (1, 1)
        assert report.counts == {"unreadable_file": 3, "box_of_dropped_image": 3}
        assert report.num_images_read == report.num_images + report.num_images_dropped
        assert report.num_boxes_read == report.num_boxes + report.num_boxes_dropped
        for name in names:
            assert caplog.text.count(f"{name} can't be read") == 1
        # Without any image left, it would be looked for without end.
        (folder / "a.png").unlink()
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"can.+t be read"):
            list(load(folder, broken_images="skip").repeat())

    def test_other_choices_are_refused(self, load, folder):
        write_broken(folder)
        with pytest.raises(ValueError, match="`broken_images` must be 'raise', 'skip' or 'find'"):
            load(folder, broken_images="ignore")


def test_a_file_that_went_away_is_named(folder):
    for name in ("a.png", "b.png"):
        picture().save(folder / name)
    dataset = load_as_coco(folder)
    (folder / "b.png").unlink()
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"b\.png can.+t be read.*No such"):
        list(dataset)
