"""Prepare the shared sample of real COCO images as TFDS' own coco/2017, without a network."""

import io
import json
import pathlib
import tempfile
import zipfile
from unittest import mock

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from pycocotools import mask as coco_masks

from keras_detr.checkpoints import COCO_PANOPTIC_CATEGORY_IDS
from tests.shared_data import shared_data_folder

SPLITS = {"train": "train2017", "validation": "val2017"}


def split_paths(split):
    """Return the folder of images and the COCO-JSON file of "train" or "validation"."""
    folder, name = shared_data_folder() / "coco_mini", SPLITS[split]
    return folder / name, folder / "annotations" / f"instances_{name}.json"


def read_annotations(split):
    """Return the COCO-JSON of "train" or "validation" as a dict."""
    return json.loads(split_paths(split)[1].read_text())


def prepare_coco_mini(data_dir):
    """Write coco/2017 with 51 training and 26 validation images below `data_dir`.

    TFDS' own builder does the work: archives in COCO's layout are handed to it where it would
    download COCO's, and it extracts, reads and writes them itself.

    Args:
        data_dir: path, to pass to `keras_detr.datasets.load_coco(..., data_dir=data_dir)`.
    """
    _prepare("coco/2017", data_dir, _write_archives)


def prepare_panoptic_coco_mini(data_dir):
    """Write coco/2017_panoptic likewise, with the images and objects of `panoptic_images`."""
    _prepare("coco/2017_panoptic", data_dir, _write_panoptic_archives)


def _prepare(name, data_dir, write_archives):
    builder = tfds.builder(name, data_dir=data_dir)
    with tempfile.TemporaryDirectory() as folder:
        archives = write_archives(pathlib.Path(folder))

        def extract_local(manager, urls):
            paths = {key: archives[url.rsplit("/", 1)[-1]] for key, url in urls.items()}
            return manager.extract(paths)

        config = tfds.download.DownloadConfig(extract_dir=f"{folder}/extracted")
        config.try_download_gcs = False
        with mock.patch.object(
            tfds.download.DownloadManager, "download_and_extract", extract_local
        ):
            builder.download_and_prepare(download_dir=folder, download_config=config)


def _write_archives(folder):
    names = ("train2017", "val2017", "test2017", "annotations_trainval2017", "image_info_test2017")
    archives = {f"{name}.zip": folder / f"{name}.zip" for name in names}
    _write_images(archives)
    with zipfile.ZipFile(archives["annotations_trainval2017.zip"], "w") as archive:
        for path in (split_paths(split)[1] for split in SPLITS):
            archive.write(path, f"annotations/{path.name}")
    # TFDS writes no empty split: the test split holds one image, without annotations.
    annotations = read_annotations("validation")
    info = {"images": annotations["images"][:1], "categories": annotations["categories"]}
    with zipfile.ZipFile(archives["image_info_test2017.zip"], "w") as archive:
        archive.writestr("annotations/image_info_test2017.json", json.dumps(info))
    name = info["images"][0]["file_name"]
    with zipfile.ZipFile(archives["test2017.zip"], "w") as archive:
        archive.write(split_paths("validation")[0] / name, f"test2017/{name}")
    return archives


def _write_images(archives):
    for split, name in SPLITS.items():
        with zipfile.ZipFile(archives[f"{name}.zip"], "w") as archive:
            for image in sorted(split_paths(split)[0].glob("*.jpg")):
                archive.write(image, f"{name}/{image.name}")


def panoptic_images(split):
    """Yield an image's id, its pixels' ids (height, width), and its segments, as COCO has them.

    Nothing overlaps: of two annotated objects the later one is in front. What is left is sky.
    """
    content = read_annotations(split)
    for image in content["images"]:
        height, width = image["height"], image["width"]
        ids = np.full((height, width), 256**2 + 1)
        entries = [e for e in content["annotations"] if e["image_id"] == image["id"]]
        segments = [{"id": 256**2 + 1, "category_id": 187, "iscrowd": 0}]
        for number, entry in enumerate(entries):
            segment = {key: entry[key] for key in ("category_id", "iscrowd")}
            segments.append({"id": 250 + 70_000 * number, **segment})
            runs = coco_masks.frPyObjects(entry["segmentation"], height, width)
            runs = coco_masks.merge(runs) if isinstance(runs, list) else runs
            ids[np.asarray(coco_masks.decode(runs), bool)] = segments[-1]["id"]
        yield image["id"], ids, [_measured(s, ids) for s in segments if (ids == s["id"]).any()]


def _measured(segment, ids):
    rows, columns = np.nonzero(ids == segment["id"])
    left, top = int(columns.min()), int(rows.min())
    box = [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top]
    return {**segment, "bbox": box, "area": len(rows)}


def _write_panoptic_archives(folder):
    names = ("train2017", "val2017", "panoptic_annotations_trainval2017")
    archives = {f"{name}.zip": folder / f"{name}.zip" for name in names}
    _write_images(archives)
    categories = [{"id": i, "name": f"category {i}"} for i in COCO_PANOPTIC_CATEGORY_IDS]
    with zipfile.ZipFile(archives["panoptic_annotations_trainval2017.zip"], "w") as archive:
        for split, name in SPLITS.items():
            inner, entries = io.BytesIO(), []
            with zipfile.ZipFile(inner, "w") as pictures:
                for image_id, ids, segments in panoptic_images(split):
                    colors = np.stack([ids % 256, ids // 256 % 256, ids // 256**2], axis=-1)
                    picture = io.BytesIO()
                    Image.fromarray(colors.astype(np.uint8)).save(picture, "png")
                    file_name = f"{image_id:012d}.png"
                    pictures.writestr(f"panoptic_{name}/{file_name}", picture.getvalue())
                    entries.append(
                        {"image_id": image_id, "file_name": file_name, "segments_info": segments}
                    )
            archive.writestr(f"annotations/panoptic_{name}.zip", inner.getvalue())
            content = {
                "images": read_annotations(split)["images"],
                "annotations": entries,
                "categories": categories,
            }
            archive.writestr(f"annotations/panoptic_{name}.json", json.dumps(content))
    return archives
