"""Data sets in a folder of any known layout: training, validation and test part."""

import dataclasses
import functools
import hashlib
import logging
import os
from collections.abc import Sequence

import tensorflow as tf

from keras_detr.batches.class_names import check_class_names
from keras_detr.datasets.data_report import brief
from keras_detr.datasets.folder_layouts import readers_of_parts
from keras_detr.datasets.image_files import checked_folder
from keras_detr.datasets.record_parts import held_out, in_order_of_names, of_classes
from keras_detr.datasets.records_dataset import check_options, dataset_from_records
from keras_detr.ops.printable_text import counted, did_you_mean, printable

logger = logging.getLogger("keras_detr")


@dataclasses.dataclass(kw_only=True)
class FolderData:
    """Hold the parts of a folder's data, which have the same classes.

    `print(data)` shows how many images and boxes there are, and of which classes.

    Attributes:
        train: tf.data.Dataset, see `keras_detr.datasets.load_coco_json`; images are in random
            order, and crowds left out. Its `category_ids` are None for YOLO and VOC, which have
            none.
        valid: tf.data.Dataset or None; images in the order of their file names, crowds kept.
        test: the same.
        class_names: list of str, the classes 0..N-1.
        format: str, "coco", "yolo" or "voc".
        is_held_out: bool, whether the images of `valid` were taken from the training part.
        fingerprint: str, which changes with the annotations, and not with the folder's place.

    Example:
        ```python
        from keras_detr.datasets import load_folder

        data = load_folder("my_data", bounding_box_format="rel_xyxy")
        print(data)
        print(data.class_names, data.train.report.num_images, data.test)
        ```
    """

    train: tf.data.Dataset
    valid: tf.data.Dataset | None
    test: tf.data.Dataset | None
    class_names: list[str]
    format: str
    is_held_out: bool
    fingerprint: str

    def __str__(self):
        lines = []
        for name, dataset in (("train", self.train), ("valid", self.valid), ("test", self.test)):
            if dataset is None:
                continue
            report = dataset.report
            title = f"{name}, held out of train" if self.is_held_out and name == "valid" else name
            crowds = report.num_crowds_left_out
            lines.append(
                f"{title}: {counted(report.num_images, 'image')}, {report.num_empty_images} of "
                f"them empty; {counted(report.num_boxes, 'box')}; left out "
                f"{counted(report.num_images_dropped, 'image')} and "
                f"{counted(report.num_boxes_dropped, 'box')}"
                + (f", and {counted(crowds, 'box')} around a crowd" if crowds else "")
            )
            counts = [f"{name} {count}" for name, count in report.num_boxes_by_class.items()]
            lines.append(printable(f"  {', '.join(counts)}"))
        return "\n".join(lines)


def load_folder(
    folder: str | os.PathLike[str],
    format: str = "auto",
    *,
    bounding_box_format: str = "xyxy",
    masks: bool = False,
    classes: Sequence[str] | None = None,
    absent_classes: str = "raise",
    hold_out: float | None = 0.2,
    seed: int = 0,
    broken_images: str = "raise",
    outside_files: str = "refuse",
    exif: str = "apply",
) -> FolderData:
    """Load the training, validation and test part of a folder in one of several layouts.

    - "coco": train/_annotations.coco.json beside the images, as Roboflow exports it, or
      annotations/instances_train*.json, as COCO has it; so for "valid" or "val", and "test". Or
      one JSON file beside the images, or beside their folder "images", which is all training data.
      See `load_coco_json`.
    - "yolo": data.yaml, or one other .yaml file. See `load_yolo`.
    - "voc": Annotations and JPEGImages; the parts are train.txt, val.txt and test.txt of
      ImageSets/Main, or trainval.txt where one of the first two is missing, or all images where
      there is no ImageSets. Or the folders train, valid and test, each with XML files beside the
      images. See `load_voc`.

    Classes are matched by name, so the ids and the order in the files of the parts may differ.

    Args:
        folder: path.
        format: "auto", which recognizes the layout, or "coco", "yolo" or "voc".
        bounding_box_format: str, the format of the boxes returned, one of
            `keras_detr.ops.boxes.BOX_FORMATS`.
        masks: bool, whether the masks of COCO-JSON are read, see `load_coco_json`; the other
            layouts have none.
        classes: sequence of str, the only classes to load, in this order. Images without objects of
            these classes are kept, as empty ones. None is all classes of the training part; for VOC
            of all parts, sorted.
        absent_classes: "raise" an error where `classes` has names that the folder doesn't know, or
            "allow" them. A folder with some of a model's classes is scored with
            `classes=model.class_names` and "allow".
        hold_out: float in (0, 1), the share of the training images that become `valid` where the
            folder has no validation part, drawn at random; or None for no `valid` then.
        seed: int, of that draw.
        broken_images: "raise", "skip" or "find", see `load_coco_json`.
        outside_files: "refuse" or "allow", see `load_coco_json`.
        exif: "apply" or "ignore", see `load_coco_json`.

    Returns:
        `FolderData`.

    Raises:
        FileNotFoundError: the folder or its training part doesn't exist.
        ValueError: an argument is invalid, several layouts fit, a part has boxes of classes that
            the training part doesn't know, its files can't be used (see the loaders), or the
            layout has no masks.

    Example:
        ```python
        from keras_detr.datasets import load_folder

        data = load_folder("my_data")
        print(data)
        ```
    """
    check_options(bounding_box_format, "keep", broken_images, outside_files, exif)
    _check_share(hold_out)
    if absent_classes not in ("raise", "allow"):
        raise ValueError(
            f"`absent_classes` must be 'raise' or 'allow'. Received: {absent_classes!r}."
        )
    classes = check_class_names(classes, what="`classes`")
    folder = checked_folder(folder, "folder")
    layout, readers = readers_of_parts(folder, format, outside_files)
    if masks:
        _check_has_masks(layout, folder)
        readers = {part: functools.partial(read, has_masks=True) for part, read in readers.items()}
    records = {}
    for part, read in readers.items():
        try:
            records[part] = in_order_of_names(read())
        except FileNotFoundError as error:
            # Exporters write a line for it in data.yaml, whether there is one or not.
            if (layout, part) != ("yolo", "test"):
                raise
            logger.warning("There is no test part: %s", error)
    names = records["train"].names
    if layout == "voc":
        names = tuple(sorted({name for record in records.values() for name in record.names}))
    if classes is not None:
        if absent_classes == "raise":
            _check_known(classes, names, folder)
        records = {part: of_classes(record, classes) for part, record in records.items()}
        names = classes
    is_held_out = "valid" not in records and hold_out is not None
    if is_held_out:
        records["train"], records["valid"] = held_out(records["train"], hold_out, seed)
        logger.warning(
            "%s has no validation part: %d of its training images are held out (`hold_out=%s`, "
            "`seed=%s`).",
            folder,
            len(records["valid"].images),
            hold_out,
            seed,
        )
    parts = {
        part: dataset_from_records(
            record,
            class_names=names,
            bounding_box_format=bounding_box_format,
            # Training leaves crowds out, and evaluation needs them; difficult objects of VOC are
            # trained.
            crowds="drop" if part == "train" and layout != "voc" else "keep",
            shuffle_files=part == "train",
            is_checked=True,
            broken_images=broken_images,
            exif=exif,
        )
        for part, record in records.items()
    }
    return FolderData(
        train=parts["train"],
        valid=parts.get("valid"),
        test=parts.get("test"),
        class_names=list(names),
        format=layout,
        is_held_out=is_held_out,
        fingerprint=_fingerprint(records),
    )


def _check_has_masks(layout, folder):
    if layout != "coco":
        raise ValueError(
            f"`masks` must be False for {str(folder)!r}, whose layout is {layout!r}: masks are "
            "read from COCO-JSON only. VOC's boxes have none, and polygons in YOLO's labels become "
            "boxes. Convert the folder to COCO-JSON to train on masks."
        )


def _check_known(classes, names, folder):
    missing = [name for name in classes if name not in names]
    if missing:
        raise ValueError(
            f"`classes` must be among those of {str(folder)!r}, {brief(list(names))}. Received "
            f"besides: {brief(missing)}.{did_you_mean(missing[0], names)} With "
            "`absent_classes='allow'` a model of more classes can be scored."
        )


def _check_share(hold_out):
    is_number = isinstance(hold_out, (int, float)) and not isinstance(hold_out, bool)
    if hold_out is not None and not (is_number and 0 < hold_out < 1):
        raise ValueError(
            f"`hold_out` must be a share above 0 and below 1, or None. Received: {hold_out!r}."
        )


def _fingerprint(records):
    digest = hashlib.sha256()
    for part, record in sorted(records.items()):
        names = [os.path.basename(path) for path in record.images["path"]]
        digest.update(repr((part, record.names, names)).encode())
        for column in ("image_row", "class", "corners", "is_crowd"):
            digest.update(record.boxes[column].tobytes())
    return digest.hexdigest()[:16]
