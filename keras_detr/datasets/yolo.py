"""Data sets in the layout of Ultralytics' YOLO."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from keras_detr.batches.class_names import check_class_names
from keras_detr.checkpoints.files.regular_files import read_regular
from keras_detr.datasets.data_report import DataReport, UnusableEntry, brief
from keras_detr.datasets.image_files import is_inside, path_inside
from keras_detr.datasets.record_tables import records_of_rows
from keras_detr.datasets.records_dataset import check_options, dataset_from_records
from keras_detr.datasets.yolo_lines import box_of_values, num_values_of_poses, values_of_line
from keras_detr.datasets.yolo_settings import (
    NO_VALUE,
    keypoint_values,
    names_of_classes,
    read_settings,
    settings_path,
)
from keras_detr.preprocessing.image_reading import IMAGE_SUFFIXES

# In bytes.
_LARGEST_LABELS = 16_000_000
_KEYS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}


def load_yolo(
    folder: str | os.PathLike[str],
    split: str = "train",
    *,
    bounding_box_format: str = "xyxy",
    class_names: Sequence[str] | None = None,
    shuffle_files: bool | None = None,
    broken_images: str = "raise",
    outside_files: str = "refuse",
    exif: str = "apply",
) -> Any:
    """Load images and boxes annotated for Ultralytics' YOLO.

    The folder holds data.yaml, or one .yaml file of another name, with "names" and, for each split,
    its folder of images, a .txt file that lists images, or a list of these. Labels are beside the
    images, or in a folder "labels" in place of "images": a text file for each image, with a line
    "class center_x center_y width height" for each box, relative to the image. A polygon becomes
    the box around it, and of a pose its box is taken; without "kpt_shape" in data.yaml, poses are
    recognized by a visibility of 2, and listed. Entries that can't be used are left out, counted
    and listed, as in `load_coco_json`: label files without an image too. An image without a label
    file counts as empty, and is listed too.

    Args:
        folder: path of the folder with data.yaml, or of the file.
        split: "train", "validation" ("val", "valid") or "test".
        bounding_box_format: str, the format of the boxes returned, one of
            `keras_detr.ops.boxes.BOX_FORMATS`.
        class_names: sequence of str, the classes in order, see `load_coco_json`. None is the order
            of data.yaml.
        shuffle_files: bool, whether images are in random order, a new one in each pass. Files are
            shuffled, not decoded images. None is True for the split "train" only. Parts that
            `take` and `skip` cut from a shuffled data set overlap: cut them from one that isn't.
        broken_images: "raise", "skip" or "find", see `load_coco_json`.
        outside_files: "refuse" or "allow" folders and files in data.yaml, or in a list of images,
            that lead out of `folder`, see `load_coco_json`. "../train/images" is taken as
            "train/images", which is what exporters mean by it.
        exif: "apply" or "ignore" the EXIF tag that turns an image, see `load_coco_json`.

    Returns:
        tf.data.Dataset of unbatched elements with the attributes `class_names`, `report` and
        `file_names`, see `load_coco_json`. Images are numbered in the order of their paths;
        there are no crowds, and "area" is a box's own.

    Raises:
        FileNotFoundError: the folder, data.yaml, or the split's folder doesn't exist, or no image
            has a label file.
        ValueError: an argument or data.yaml is invalid, a file is outside, or nothing can be used.

    Example:
        ```python
        import pathlib

        from keras_detr.datasets import load_yolo

        pathlib.Path("my_data/labels").mkdir()
        pathlib.Path("my_data/train/0.txt").write_text("0 0.5 0.5 0.2 0.3")  # Class, center, size.
        pathlib.Path("my_data/data.yaml").write_text("{train: train, names: [cat, dog]}")
        train = load_yolo("my_data", "train", bounding_box_format="rel_xyxy")
        print(train.class_names, train.report.num_boxes)
        ```

    Source: https://docs.ultralytics.com/datasets/detect.
    """
    check_options(bounding_box_format, "keep", broken_images, outside_files, exif)
    class_names = check_class_names(class_names)
    return dataset_from_records(
        read_yolo(folder, split, class_names, outside_files),
        class_names=class_names,
        bounding_box_format=bounding_box_format,
        crowds="keep",
        shuffle_files=split == "train" if shuffle_files is None else shuffle_files,
        is_checked=True,
        broken_images=broken_images,
        exif=exif,
    )


def yolo_splits(folder):
    """Return the splits that a folder's data.yaml names; none if there is no such file."""
    try:
        path = settings_path(folder)
        settings = read_settings(path)
    except FileNotFoundError:
        return set()
    except ValueError:
        # Another file's name doesn't say that it is of this kind.
        if path.name == "data.yaml":
            raise
        return set()
    return {
        split
        for split, keys in _KEYS.items()
        if any(settings.get(key) not in NO_VALUE for key in keys)
    }


def read_yolo(folder, split, class_names, outside_files):
    """Return the `Records` of a split; `class_names` are taken where data.yaml has none."""
    path = settings_path(folder)
    folder, settings = path.parent, read_settings(path)
    names = names_of_classes(settings, path, class_names)
    num_keypoint_values = keypoint_values(settings, path)
    sources = _image_sources(settings, path, split, outside_files)
    report = DataReport(", ".join(map(str, sources)))
    paths = [path for source in sources for path in _images_of(source, folder, outside_files)]
    images, boxes = _read_labels(paths, len(names), num_keypoint_values, report)
    _report_labels_without_image(sources, paths, report)
    return records_of_rows(images, boxes, names, report, True)


def _image_sources(settings, path, split, outside_files):
    """Return the folders of a split's images, or files that list them."""
    split = next((name for name, keys in _KEYS.items() if split in keys), split)
    if split not in _KEYS:
        raise ValueError(f"`split` must be one of {list(_KEYS)}. Received: {split!r}.")
    entries = [settings[key] for key in _KEYS[split] if settings.get(key) not in NO_VALUE]
    names = entries[0] if entries and isinstance(entries[0], list) else entries[:1]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(
            f"{str(path)!r} must name the folder of images of the split "
            f"{split!r} ({' or '.join(_KEYS[split])}), or list several. Received: "
            f"{brief(entries)}."
        )
    return [_found_source(name, settings, path, split, outside_files) for name in names]


def _found_source(name, settings, path, split, outside_files):
    folder, root = path.parent, settings.get("path")
    roots = [folder / root, folder] if isinstance(root, str) else [folder]
    # Some exporters write paths relative to a subfolder.
    inside = name.removeprefix("../")
    found = dict.fromkeys(root / entry for root in roots for entry in (name, inside))
    allowed = [place for place in found if outside_files == "allow" or is_inside(folder, place)]
    for candidate in allowed:
        if candidate.is_dir() or (candidate.suffix == ".txt" and candidate.is_file()):
            return candidate
    if not allowed:
        path_inside(folder, name, outside_files, f"{path}, split {split!r}")
    outside = (
        ""
        if len(allowed) == len(found)
        else f", or pass `outside_files='allow'` to look outside of {str(folder)!r} too"
    )
    raise FileNotFoundError(
        f"The images of the split {split!r} are in none of {[str(place) for place in allowed]}. "
        f"Correct {str(path)!r}{outside}."
    )


def _images_of(source, folder, outside_files):
    """Return the paths of the images below a folder, or those that a file lists."""
    if source.is_dir():
        return sorted(p for p in source.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    try:
        lines = [line.strip() for _, line in _lines_of(source)]
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(source)!r} can't be read as a list of images: {error}") from error
    # "./" stands for the folder of the list.
    here = os.path.relpath(source.parent, folder)
    names = [os.path.join(here, line) if line.startswith("./") else line for line in lines]
    return [pathlib.Path(path_inside(folder, name, outside_files, source)) for name in names]


def _lines_of(path):
    """Return the lines of a text file that aren't empty, each with its number from 1 on."""
    # Some Windows editors write a byte order mark.
    lines = read_regular(path, _LARGEST_LABELS).decode("utf-8-sig").splitlines()
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _read_labels(paths, num_classes, num_keypoint_values, report):
    """Return the rows of `IMAGES` and `BOXES` of images."""
    report.num_images_read = len(paths)
    lines_of_images = _lines_of_labels(paths, report)
    is_told = num_keypoint_values > 0
    if not is_told:
        lines = (line for lines in lines_of_images.values() for _, line in lines)
        num_keypoint_values = num_values_of_poses(lines)
    images, boxes = [], []
    for image_id, lines in lines_of_images.items():
        path = paths[image_id]
        for number, line in lines:
            where = f"{path.stem}.txt, line {number}"
            report.num_boxes_read += 1
            try:
                values = values_of_line(line)
                box, kind = box_of_values(values, len(images), num_classes, num_keypoint_values)
            except UnusableEntry as problem:
                kind, detail = problem.args
                report.add(kind, image_id, detail=f"{where}: {detail}")
                continue
            boxes.append(box)
            if kind == "polygon" or (kind == "pose" and not is_told):
                report.add(kind, image_id, detail=f"{where}: {len(values)} numbers")
        images.append((image_id, os.fspath(path), (0, 0)))
    return images, boxes


def _lines_of_labels(paths, report):
    """Return a dict from the numbers of images to their numbered lines; some can't be read."""
    lines = {}
    for image_id, path in enumerate(paths):
        try:
            lines[image_id] = _lines_of(_label_path(path))
        except FileNotFoundError:
            report.add("no_annotation", image_id, detail=str(path))
            lines[image_id] = []
        except (OSError, ValueError) as error:
            report.add("unreadable_annotation", image_id, detail=str(error))
    if paths and report.counts.get("no_annotation") == len(paths):
        raise FileNotFoundError(
            f"None of the {len(paths)} images has a label file. Expected "
            f"{str(_label_path(paths[0]))!r} for {str(paths[0])!r}, and so on: put the labels "
            "there, or correct data.yaml."
        )
    return lines


def _report_labels_without_image(sources, paths, report):
    """Count the images and boxes of label files that no image belongs to."""
    known = {_label_path(path) for path in paths}
    for source in sources:
        # A file that lists images leaves others out on purpose.
        labels_dir = _label_path(source / "image").parent if source.is_dir() else None
        for path in sorted(labels_dir.rglob("*.txt")) if labels_dir else ():
            try:
                num_boxes = 0 if path in known else sum(map(_is_annotation, _lines_of(path)))
            except (OSError, ValueError):
                continue
            if num_boxes:
                report.num_images_read += 1
                report.num_boxes_read += num_boxes
                detail = f"{path}: no image of a known kind belongs to these labels"
                report.add("missing_file", detail=detail)
                for _ in range(num_boxes):
                    report.add("box_of_dropped_image", detail=detail)


def _is_annotation(numbered_line):
    try:
        return len(values_of_line(numbered_line[1])) >= 5
    except UnusableEntry:
        return False


def _label_path(path):
    """Return the label file of an image, with "labels" in place of the last folder "images"."""
    parts = list(path.parent.parts)
    if "images" in parts:
        last = max(index for index, part in enumerate(parts) if part == "images")
        parts[last] = "labels"
    return pathlib.Path(*parts) / f"{path.stem}.txt"
