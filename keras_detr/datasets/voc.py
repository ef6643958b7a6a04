"""Data sets in the layout of Pascal VOC."""

import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from defusedxml import DTDForbidden, ElementTree

from keras_detr.batches.class_names import check_class_names
from keras_detr.checkpoints.files.regular_files import read_regular
from keras_detr.datasets.data_report import DataReport, UnusableEntry, brief
from keras_detr.datasets.image_files import checked_folder, file_names, path_inside
from keras_detr.datasets.record_tables import LARGEST_SIDE, BoxRow, records_of_rows
from keras_detr.datasets.records_dataset import check_options, dataset_from_records
from keras_detr.preprocessing.image_reading import IMAGE_SUFFIXES

# In bytes.
_LARGEST_LIST = 256_000_000
_LARGEST_ANNOTATION = 16_000_000
# Those of VOC come first; the others are of data sets in its layout.
_IMAGE_FOLDERS = ("JPEGImages", "images")
_ANNOTATION_FOLDERS = ("Annotations", "annotations/xmls", "annotations")
_TRAINING_SPLITS = ("train", "trainval")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_FLAGS = {None: False, "": False, "0": False, "1": True}


def load_voc(
    folder: str | os.PathLike[str],
    split: str = "trainval",
    *,
    bounding_box_format: str = "xyxy",
    class_names: Sequence[str] | None = None,
    difficult: str = "keep",
    shuffle_files: bool | None = None,
    broken_images: str = "raise",
    outside_files: str = "refuse",
    exif: str = "apply",
) -> Any:
    """Load images and boxes annotated as in Pascal VOC.

    The folder, such as VOC2012, holds the images in JPEGImages, an XML file for each in
    Annotations, and ImageSets/Main/<split>.txt with the names of a split's images, one a line,
    without suffixes; where there is no folder ImageSets, "trainval" is all there is. The XML files
    may also lie beside the images, as in Roboflow's folders train, valid and test. VOC
    counts whole pixels from 1, and both corners are inside the box. Entries that can't be used are
    left out, counted and listed, as in `load_coco_json`; an image without an XML file counts as
    empty, and is listed too.

    Args:
        folder: path.
        split: str, the name of a file of ImageSets/Main: "train", "val", "trainval", "test".
        bounding_box_format: str, the format of the boxes returned, one of
            `keras_detr.ops.boxes.BOX_FORMATS`.
        class_names: sequence of str, the classes in order; objects with other names are left out.
            None is the sorted names of all files in Annotations, of every split, which takes a
            second or two for 10,000 files.
        difficult: "keep" or "drop" objects that are marked as difficult. Kept ones have "is_crowd"
            set, because VOC's evaluation ignores them as COCO's ignores crowds: a detection of one
            is neither right nor wrong. Training treats them like other objects.
        shuffle_files: bool, whether images are in random order, a new one in each pass. Files are
            shuffled, not decoded images. None is True for "train" and "trainval" only. Parts that
            `take` and `skip` cut from a shuffled data set overlap: cut them from one that isn't.
        broken_images: "raise", "skip" or "find", see `load_coco_json`.
        outside_files: "refuse" or "allow" names in the split's file that lead out of the folders
            of images and annotations, see `load_coco_json`.
        exif: "apply" or "ignore" the EXIF tag that turns an image, see `load_coco_json`.

    Returns:
        tf.data.Dataset of unbatched elements with the attributes `class_names`, `report` and
        `file_names`, see `load_coco_json`. Images are numbered from 0 in the order of the split's
        file, and "area" is a box's own.

    Raises:
        FileNotFoundError: the folder, one in it, or the split's file doesn't exist.
        ValueError: an argument is invalid, all boxes look relative instead of in pixels, a file is
            outside, or nothing can be used.

    Example:
        ```python
        import pathlib

        from keras_detr.datasets import load_voc

        pathlib.Path("my_data/train/0.xml").write_text(
            "<annotation><filename>0.png</filename><size><width>80</width><height>60</height></size>"
            "<object><name>cat</name><bndbox><xmin>11</xmin><ymin>9</ymin><xmax>40</xmax>"
            "<ymax>28</ymax></bndbox></object></annotation>"
        )
        train = load_voc("my_data/train", bounding_box_format="rel_xyxy")
        print(train.class_names, train.report.num_boxes)
        ```

    Source: Everingham et al. 2010; the development kit of VOC2012, sections 4.2 and 5.
    """
    check_options(bounding_box_format, difficult, broken_images, outside_files, exif, "difficult")
    return dataset_from_records(
        read_voc(folder, split, class_names, outside_files),
        bounding_box_format=bounding_box_format,
        crowds=difficult,
        shuffle_files=split in _TRAINING_SPLITS if shuffle_files is None else shuffle_files,
        is_checked=True,
        broken_images=broken_images,
        exif=exif,
    )


def has_voc_files(folder):
    """Return whether a folder holds XML files beside its images, or folders of both."""
    if _has_annotations(folder):
        return True
    annotations = (folder / name for name in _ANNOTATION_FOLDERS)
    return any(next(path.rglob("*.xml"), None) for path in annotations) and any(
        (folder / name).is_dir() for name in _IMAGE_FOLDERS
    )


def voc_splits(folder):
    """Return the splits that `load_voc` finds in a folder."""
    if not (folder / "ImageSets").exists():
        return {"trainval"}
    return {name[:-4] for name in file_names(folder / "ImageSets" / "Main") if name[-4:] == ".txt"}


def _has_annotations(folder):
    return any(name.endswith(".xml") for name in file_names(folder))


def read_voc(folder, split, class_names, outside_files):
    """Return the `Records` of a split; `class_names` are those of all files where it is None."""
    folder = checked_folder(folder, "folder")
    images_dir = _first_folder(folder, _IMAGE_FOLDERS, "images")
    annotations_dir = _first_folder(folder, _ANNOTATION_FOLDERS, "XML files")
    list_path, names = _read_split(folder, split, images_dir, annotations_dir)
    class_names = _class_names(class_names, annotations_dir)
    report = DataReport(str(list_path))
    folders = [
        functools.partial(
            path_inside, images_or_annotations, outside_files=outside_files, source=str(list_path)
        )
        for images_or_annotations in (images_dir, annotations_dir)
    ]
    images, boxes = _read_annotations(names, *folders, class_names, report)
    return records_of_rows(images, boxes, tuple(class_names), report)


def _first_folder(folder, names, content):
    """Return the first of some folders that is there, or the one above if all is in it."""
    if _has_annotations(folder):
        return folder
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    found = sorted(path.name for path in folder.iterdir() if path.is_dir())
    raise FileNotFoundError(
        f"`folder`: {str(folder)!r} must hold the {content} in one of {list(names)}. Found the "
        f"folders {brief(found)}: rename one, or pass the folder above or below."
    )


def _read_split(folder, split, images_dir, annotations_dir):
    """Return where the names of a split's images are, and the names."""
    if not isinstance(split, str):
        raise ValueError(f"`split` must be the name of a file, a str. Received: {split!r}.")
    lists_dir = folder / "ImageSets" / "Main"
    if split == "trainval" and not lists_dir.parent.exists():
        names = _names_below(annotations_dir, (".xml",))
        return folder, sorted(names | _names_below(images_dir, IMAGE_SUFFIXES))
    path = lists_dir / f"{split}.txt"
    try:
        # Some Windows editors write a byte order mark.
        lines = read_regular(path, _LARGEST_LIST).decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        found = sorted(name[:-4] for name in file_names(lists_dir) if name.endswith(".txt"))
        raise FileNotFoundError(
            f"`split`: there is no {str(path)!r}. Splits found in its folder: {brief(found)}. "
            'Without a folder ImageSets, "trainval" is all images.'
        ) from None
    except (OSError, ValueError) as error:
        raise ValueError(f"`split`: {str(path)!r} can't be read as text: {error}") from error
    return path, [line.strip() for line in lines if line.strip()]


def _names_below(folder, suffixes):
    """Return the set of names, with folders and without suffixes, of files below a folder."""
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    return {path.relative_to(folder).with_suffix("").as_posix() for path in paths}


def _class_names(class_names, annotations_dir):
    if class_names is None:
        found = {name for path in annotations_dir.rglob("*.xml") for name in _names_in(path)}
        if not found:
            raise ValueError(
                f"No file of {str(annotations_dir)!r} names an object. Correct the files, or pass "
                "`class_names`."
            )
        return sorted(found)
    return check_class_names(class_names)


def _names_in(path):
    """Return the names of the objects in an XML file, or none if it can't be read."""
    try:
        entries = _read_file(path).findall("object")
    except (OSError, ValueError):
        return set()
    return {name for name in (_text(entry, "name") for entry in entries) if name}


def _read_file(path):
    """Return the root of an annotation file, or raise OSError or ValueError."""
    try:
        root = ElementTree.fromstring(read_regular(path, _LARGEST_ANNOTATION), forbid_dtd=True)
    except DTDForbidden as error:
        raise ValueError("a DOCTYPE declaration, which isn't read; remove it") from error
    # LookupError: an encoding that Python doesn't know.
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"not XML: {error}") from error
    if root.tag != "annotation":
        raise ValueError(f"<{root.tag}> where <annotation> is expected")
    return root


def _read_annotations(names, image_path, annotation_path, class_names, report):
    """Return the rows of `IMAGES` and `BOXES` of the images that a split names.

    `image_path` and `annotation_path` are functions from names to paths.
    """
    report.num_images_read = len(names)
    labels = {name: label for label, name in enumerate(class_names)}
    images_in = functools.cache(_images_by_stem)
    images, boxes, seen = [], [], set()
    for image_id, name in enumerate(names):
        if name in seen:
            report.add("duplicate_image", image_id, detail=name)
            continue
        seen.add(name)
        path = pathlib.Path(annotation_path(f"{name}.xml"))
        image_folder, stem = os.path.split(image_path(name))
        image = images_in(image_folder).get(stem)
        size = (0, 0)
        try:
            root = _read_file(path)
        except FileNotFoundError:
            # An image that isn't there either is listed as such.
            if image is not None:
                report.add("no_annotation", image_id, detail=str(path))
        except (OSError, ValueError) as error:
            report.add("unreadable_annotation", image_id, detail=f"{path}: {error}")
            continue
        else:
            size = _image_size(root, image_id, path, report)
            for number, entry in enumerate(root.findall("object"), start=1):
                report.num_boxes_read += 1
                try:
                    boxes.append(_read_object(entry, len(images), labels))
                except UnusableEntry as problem:
                    kind, detail = problem.args
                    where = f"{path.name}, object {number}: {detail}"
                    report.add(kind, image_id, detail=where)
        images.append((image_id, os.path.join(image_folder, image or f"{stem}.jpg"), size))
    return images, boxes


def _images_by_stem(folder):
    """Return a dict from the names of a folder's images without a suffix to those with it."""
    names = os.listdir(folder) if os.path.isdir(folder) else ()
    # The last one counts. It is .jpg, as in VOC: cameras may write other files beside it.
    names = sorted(names, key=lambda name: (name[-4:] != ".jpg", name), reverse=True)
    splits = [os.path.splitext(name) for name in names]
    return {stem: stem + suffix for stem, suffix in splits if suffix.lower() in IMAGE_SUFFIXES}


def _image_size(root, image_id, path, report):
    """Return (height, width), both 0 if the file doesn't say."""
    texts = [_text(root, f"size/{side}") for side in ("height", "width")]
    height, width = (_number(text) or 0.0 for text in texts)
    if all(1 <= side <= LARGEST_SIDE and side.is_integer() for side in (height, width)):
        return int(height), int(width)
    if any(texts):
        report.add("wrong_size", image_id, detail=f"{path.name}: (height, width) {brief(texts)}")
    return 0, 0


def _read_object(entry, image_row, labels):
    """Return the `BoxRow` of an object, or raise `UnusableEntry`."""
    name, difficult = _text(entry, "name"), _text(entry, "difficult")
    if not name or difficult not in _FLAGS:
        read = {"name": name, "difficult": difficult}
        raise UnusableEntry("malformed_annotation", brief(read))
    if name not in labels:
        raise UnusableEntry("unknown_category", brief(name))
    texts = [_text(entry, f"bndbox/{corner}") for corner in _CORNERS]
    numbers = [_number(text) for text in texts]
    if None in numbers:
        raise UnusableEntry("malformed_box", f"{', '.join(_CORNERS)}: {brief(texts)}")
    left, top, right, bottom = numbers
    # The first pixel is 1 and the last one is inside: the edges are at xmin - 1 and xmax.
    corners = (left - 1, top - 1, right, bottom)
    return BoxRow(image_row, labels[name], corners, is_crowd=_FLAGS[difficult])


def _text(element, path):
    """Return the text of a child element, or None if it doesn't exist."""
    found = element.findtext(path)
    return None if found is None else found.strip()


def _number(text):
    """Return a text as a float, or None if it isn't a number."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
