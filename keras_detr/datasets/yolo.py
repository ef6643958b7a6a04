"""Data sets in the layout of Ultralytics' YOLO."""

import os
import pathlib

import yaml

from keras_detr.checkpoints.files.regular_files import read_regular
from keras_detr.datasets.data_report import DataReport, UnusableEntry, brief
from keras_detr.datasets.detection_records import BoxRow
from keras_detr.datasets.image_files import checked_folder
from keras_detr.datasets.records_dataset import check_options, dataset_from_tables
from keras_detr.preprocessing.image_reading import IMAGE_SUFFIXES

# In bytes.
_LARGEST_SETTINGS = 1_000_000
_LARGEST_LABELS = 16_000_000
# What YAML takes for no value.
_NO_VALUE = (None, "", "~", "null")
_KEYS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}


def load_yolo(
    folder,
    split="train",
    *,
    bounding_box_format="rel_yxyx",
    shuffle_files=None,
    broken_images="raise",
):
    """Load images and boxes annotated for Ultralytics' YOLO.

    The folder holds data.yaml with "names" and, for each split, its folder of images. Labels are in
    a folder "labels" beside or in place of "images": a text file for each image, with a line "class
    center_x center_y width height" for each box, relative to the image. A polygon becomes the box
    around it. Entries that can't be used are left out, counted and listed, as in `load_coco_json`;
    an image without a label file counts as empty, and is listed too.

    Args:
        folder: path of the folder with data.yaml.
        split: "train", "validation" or "test".
        bounding_box_format: str, the format of the boxes returned, one of
            `keras_detr.ops.boxes.BOX_FORMATS`.
        shuffle_files: bool, whether images are in random order, a new one in each pass. Files are
            shuffled, not decoded images. None is True for the split "train" only.
        broken_images: "raise", "skip" or "find", see `load_coco_json`.

    Returns:
        tf.data.Dataset of unbatched elements with the attributes `class_names`, `report` and
        `file_names`, see `load_coco_json`. Images are numbered in the order of their paths;
        there are no crowds, and "area" is a box's own.

    Raises:
        FileNotFoundError: the folder, data.yaml, or the split's folder doesn't exist.
        ValueError: an argument or data.yaml is invalid, or nothing can be used.

    Source: https://docs.ultralytics.com/datasets/detect.
    """
    check_options(bounding_box_format, "keep", broken_images)
    folder = checked_folder(folder, "folder")
    settings = _read_settings(folder / "data.yaml")
    class_names = _class_names(settings, folder)
    images_dir = _images_folder(settings, folder, split)
    report = DataReport(str(images_dir))
    images, boxes = _read_labels(images_dir, len(class_names), report)
    return dataset_from_tables(
        images,
        boxes,
        class_names,
        report,
        bounding_box_format=bounding_box_format,
        crowds="keep",
        shuffle_files=split == "train" if shuffle_files is None else shuffle_files,
        is_checked=True,
        broken_images=broken_images,
        is_relative=True,
    )


def _read_settings(path):
    try:
        content = read_regular(path, _LARGEST_SETTINGS).decode("utf-8")
        # BaseLoader reads every word as text, as "no" and "on" may name classes, and doesn't merge
        # keys, which can grow without end in some versions.
        settings = yaml.load(content, yaml.BaseLoader)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"`folder`: there is no {str(path)!r}. Pass the folder that holds data.yaml."
        ) from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{str(path)!r} can't be read as YAML: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{str(path)!r} must hold names and splits. Received: {brief(settings)}.")
    return settings


def _class_names(settings, folder):
    names = settings.get("names")
    if isinstance(names, dict):
        names = [names.get(str(label)) for label in range(len(names))]
    is_right = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not is_right or not names:
        raise ValueError(
            f"'names' of {str(folder / 'data.yaml')!r} must list the classes, or map 0, 1, 2, ... "
            f"to them without holes. Received: {brief(settings.get('names'))}."
        )
    return names


def _images_folder(settings, folder, split):
    if split not in _KEYS:
        raise ValueError(f"`split` must be one of {list(_KEYS)}. Received: {split!r}.")
    entries = [settings[key] for key in _KEYS[split] if settings.get(key) not in _NO_VALUE]
    if not entries or not isinstance(entries[0], str):
        raise ValueError(
            f"{str(folder / 'data.yaml')!r} must name the folder of images of the split "
            f"{split!r} ({' or '.join(_KEYS[split])}). Received: {brief(entries)}."
        )
    root = settings.get("path")
    roots = [folder / root, folder] if isinstance(root, str) else [folder]
    # Some exporters write paths relative to a subfolder.
    inside = entries[0].removeprefix("../")
    found = [root / entry for root in roots for entry in (entries[0], inside)]
    for candidate in found:
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(
        f"The images of the split {split!r} are in none of {[str(path) for path in found]}. "
        f"Correct {str(folder / 'data.yaml')!r}."
    )


def _read_labels(images_dir, num_classes, report):
    """Return the rows of `IMAGES` and `BOXES` of all images below a folder."""
    paths = sorted(path for path in images_dir.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    report.num_images_read = len(paths)
    images, boxes = [], []
    for image_id, path in enumerate(paths):
        try:
            content = read_regular(_label_path(path), _LARGEST_LABELS)
            lines = content.decode("utf-8").splitlines()
        except FileNotFoundError:
            report.add("no_annotation", image_id, detail=str(path))
            lines = []
        except (OSError, ValueError) as error:
            report.add("unreadable_annotation", image_id, detail=str(error))
            continue
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            report.num_boxes_read += 1
            try:
                boxes.append(_read_line(line, len(images), num_classes, image_id, report))
            except UnusableEntry as problem:
                kind, detail = problem.args
                where = f"{path.stem}.txt, line {number}: {detail}"
                report.add(kind, image_id, detail=where)
        images.append((image_id, os.fspath(path), (0, 0)))
    return images, boxes


def _label_path(path):
    """Return the label file of an image, with "labels" in place of the last folder "images"."""
    parts = list(path.parent.parts)
    for index in range(len(parts) - 1, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return pathlib.Path(*parts) / f"{path.stem}.txt"


def _read_line(line, image_row, num_classes, image_id, report):
    """Return the `BoxRow` of a line, or raise `UnusableEntry`."""
    try:
        label, *places = (float(text) for text in line.split())
    except ValueError:
        raise UnusableEntry("malformed_annotation", brief(line)) from None
    if not label.is_integer() or not 0 <= label < num_classes:
        raise UnusableEntry("unknown_category", f"class {label:g} of {num_classes}")
    if len(places) == 4:
        center_x, center_y, width, height = places
        corners = (
            center_x - width / 2,
            center_y - height / 2,
            center_x + width / 2,
            center_y + height / 2,
        )
    elif len(places) >= 6 and len(places) % 2 == 0:
        report.add("polygon", image_id, detail=f"{len(places) // 2} corners")
        xs, ys = places[0::2], places[1::2]
        corners = (min(xs), min(ys), max(xs), max(ys))
    else:
        raise UnusableEntry("malformed_box", brief(line))
    return BoxRow(image_row, int(label), corners)
