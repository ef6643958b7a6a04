"""Recognize the layout of a folder, and read its parts: COCO-JSON, YOLO or Pascal VOC."""

import functools
import pathlib

from keras_detr.datasets.coco_json import read_coco_json
from keras_detr.datasets.data_report import brief
from keras_detr.datasets.voc import has_voc_files, read_voc, voc_splits
from keras_detr.datasets.yolo import read_yolo, yolo_splits
from keras_detr.preprocessing.image_reading import IMAGE_SUFFIXES

# The parts, and how folders and files call them.
PARTS = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",)}


def readers_of_parts(folder, layout, outside_files):
    """Return the layout of a folder, and a dict from its parts to functions that return `Records`.

    Args:
        folder: `pathlib.Path` of a folder that exists.
        layout: a key of `LAYOUTS`, or "auto".
        outside_files: see `keras_detr.datasets.load_coco_json`.

    Raises:
        FileNotFoundError: there is no training part.
        ValueError: `layout` is another word, or several layouts fit.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise ValueError(
            f'`format` must be "auto" or one of {list(LAYOUTS)}. Received: {layout!r}.'
        )
    wanted = LAYOUTS if layout == "auto" else [layout]
    found = {name: LAYOUTS[name](folder, outside_files) for name in wanted}
    fitting = [name for name, readers in found.items() if "train" in readers]
    if not fitting and layout in ("auto", "coco"):
        # Only where nothing else fits: YOLO's folders may hold a JSON file, too.
        found["coco"] = _lone_coco_reader(folder, outside_files)
        fitting = ["coco"] if found["coco"] else []
    if not fitting:
        raise FileNotFoundError(_nothing_found(folder, layout, outside_files))
    if len(fitting) > 1:
        raise ValueError(
            f"`folder`: {str(folder)!r} can be read in several layouts. Pass `format`, one of "
            f"{fitting}."
        )
    return fitting[0], found[fitting[0]]


def _nothing_found(folder, layout, outside_files):
    """Return the message that a folder has no training data, in one layout or in any."""
    # Images are many, and what isn't one says more.
    content = sorted(path.name for path in folder.iterdir())
    content.sort(key=lambda name: pathlib.PurePath(name).suffix.lower() in IMAGE_SUFFIXES)
    begin = f"`folder`: no training data was found in {str(folder)!r}, which holds {brief(content)}"
    if layout == "auto":
        return f"{begin}. Expected one of: {'; '.join(_EXPECTED.values())}."
    others = [
        name
        for name, find in LAYOUTS.items()
        if name != layout and "train" in find(folder, outside_files)
    ]
    advice = f" `format` may be {others[0]!r} for this folder." if others else ""
    return f"{begin}. Expected: {_EXPECTED[layout]}.{advice}"


def _coco_readers(folder, outside_files):
    readers = {}
    for part, names in PARTS.items():
        # Opening a named pipe would wait.
        files = [path for path in _coco_files(folder, names) if path.is_file()]
        if len(files) > 1:
            raise ValueError(
                f"`folder`: several files could be the annotations of {part!r}: "
                f"{brief([str(path) for path in files])}. Keep one of them, or name it "
                "'instances_...'."
            )
        if files:
            images_dir = _coco_images_dir(folder, files[0])
            readers[part] = functools.partial(read_coco_json, images_dir, files[0], outside_files)
    return readers


def _lone_coco_reader(folder, outside_files):
    """Return the reader of a folder of images with one JSON file, which is for training."""
    files = [path for path in folder.glob("*.json") if path.is_file()]
    if len(files) != 1:
        return {}
    images = folder / "images"
    images_dir = images if images.is_dir() else folder
    return {"train": functools.partial(read_coco_json, images_dir, files[0], outside_files)}


def _coco_files(folder, names):
    """Return the annotation files of a part: those of the first way to lay them out that fits."""
    for pattern in (
        "{}/_annotations.coco.json",
        "annotations/instances_{}*.json",
        "annotations/*{}*.json",
        "{}.json",
    ):
        found = [path for name in names for path in sorted(folder.glob(pattern.format(name)))]
        if found:
            # "val" and "validation" both match the second.
            return list(dict.fromkeys(found))
    return []


def _coco_images_dir(folder, path):
    """Return the folder of the images that an annotation file names."""
    if path.name == "_annotations.coco.json":
        return path.parent
    part = path.stem.split("_")[-1]
    places = (folder / part, folder / "images" / part, folder / "images")
    return next((place for place in places if place.is_dir()), folder)


def _yolo_readers(folder, outside_files):
    splits = yolo_splits(folder)
    return {
        part: functools.partial(read_yolo, folder, names[-1], None, outside_files)
        for part, names in PARTS.items()
        if names[-1] in splits
    }


def _voc_readers(folder, outside_files):
    def reader(folder, split):
        return functools.partial(read_voc, folder, split, None, outside_files)

    if has_voc_files(folder):
        splits = voc_splits(folder)
        found = {
            part: next((name for name in names if name in splits), None)
            for part, names in PARTS.items()
        }
        if not (found["train"] and found["valid"]) and "trainval" in splits:
            found.update(train="trainval", valid=None)
        return {part: reader(folder, split) for part, split in found.items() if split}
    readers = {}
    for part, names in PARTS.items():
        below = [folder / name for name in names if has_voc_files(folder / name)]
        if below:
            readers[part] = reader(below[0], "trainval")
    return readers


# What training data is known by.
_EXPECTED = {
    "coco": "train/_annotations.coco.json, annotations/instances_train*.json, or a single JSON "
    "file beside the images (COCO-JSON)",
    "yolo": "data.yaml (YOLO)",
    "voc": "Annotations and JPEGImages, or XML files beside the images in train (Pascal VOC)",
}
LAYOUTS = {"coco": _coco_readers, "yolo": _yolo_readers, "voc": _voc_readers}
