"""Prepare the shared sample of real COCO images as TFDS' own coco/2017, without a network."""

import json
import pathlib
import tempfile
import zipfile
from unittest import mock

import tensorflow_datasets as tfds

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
    builder = tfds.builder("coco/2017", data_dir=data_dir)
    with tempfile.TemporaryDirectory() as folder:
        archives = _write_archives(pathlib.Path(folder))

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
    for split, name in SPLITS.items():
        with zipfile.ZipFile(archives[f"{name}.zip"], "w") as archive:
            for image in sorted(split_paths(split)[0].glob("*.jpg")):
                archive.write(image, f"{name}/{image.name}")
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
