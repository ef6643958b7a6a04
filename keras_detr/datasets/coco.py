"""COCO 2017 through TensorFlow Datasets."""

import os
import urllib.request
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from keras_detr.checkpoints import COCO_CATEGORY_IDS, COCO_PANOPTIC_CATEGORY_IDS
from keras_detr.datasets.coco_features import elements_from_builder
from keras_detr.ops.backends import current

_SERVER = "http://images.cocodataset.org/annotations/annotations_trainval2017.zip"
_SECONDS_TO_ANSWER = 20


def load_coco(
    split: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    bounding_box_format: str = "xyxy",
    masks: bool = False,
    crowds: str | None = None,
    shuffle_files: bool | None = None,
    is_downloaded: bool = True,
) -> Any:
    """Load a split of COCO 2017, with TensorFlow Datasets.

    Args:
        split: str, a TFDS split such as "train", "validation" or "train[:10%]".
        data_dir: str, the folder TFDS keeps its data sets in. None is ~/tensorflow_datasets,
            or the environment variable TFDS_DATA_DIR.
        bounding_box_format: str, one of `keras_detr.ops.boxes.BOX_FORMATS`.
        masks: bool, whether objects have masks: False reads coco/2017, the boxes of 80 classes of
            things. True reads coco/2017_panoptic, 80 classes of things and 53 of stuff, such as
            sky; the elements then have the mask of each object, "masks" bool (N, height, width) in
            "bounding_boxes".
        crowds: "drop" or "keep" boxes that stand for a crowd. None drops them for "train" and its
            parts, as the original does, and keeps them for splits without "train", because COCO's
            evaluation needs them.
        shuffle_files: bool, whether images are in random order, a new one in each pass. They are
            shuffled before they are decoded. None is True for "train" and its parts.
        is_downloaded: bool, whether a data set that isn't prepared yet is downloaded (25 GB) and
            prepared.

    Returns:
        tf.data.Dataset of unbatched elements with the attributes `class_names`, 80 or 133 names,
        and `category_ids`, their ids in COCO's files; see
        `keras_detr.datasets.coco_features.elements_from_builder`. TFDS keeps areas as whole
        numbers, so "area" is less than COCO's own by less than one pixel.

    Raises:
        FileNotFoundError: the data set isn't prepared and can't be downloaded.
        ValueError: an argument is invalid.

    Example:
        <!-- not run: it needs COCO -->
        ```python
        from keras_detr.datasets import load_coco

        images = load_coco("validation", data_dir="~/tensorflow_datasets", is_downloaded=False)
        print(len(images))  # 5000
        ```

    Source: facebookresearch/detr, datasets/coco.py.
    """
    # Preparing and reading the files of a builder are work of TensorFlow.
    current().reserve_gpus(tf.config)
    builder = tfds.builder("coco/2017_panoptic" if masks else "coco/2017", data_dir=data_dir)
    if not builder.is_prepared():
        _prepare(builder, is_downloaded)
    dataset = elements_from_builder(builder, split, bounding_box_format, crowds, shuffle_files)
    dataset.category_ids = COCO_PANOPTIC_CATEGORY_IDS if masks else COCO_CATEGORY_IDS
    return dataset


def _prepare(builder, is_downloaded):
    cause = None
    if is_downloaded:
        try:
            # Without a network TFDS retries for minutes before it fails.
            request = urllib.request.Request(_SERVER, method="HEAD")
            with urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER):
                pass
            builder.download_and_prepare()
            return
        except OSError as error:  # There is no connection, or no space on the disk.
            cause = error
    reason = f"could not be downloaded ({cause})" if cause else "may not be downloaded"
    name = f"{builder.name}/{builder.builder_config.name}"
    raise FileNotFoundError(
        f"COCO 2017 isn't prepared in {builder.data_dir} and {reason}. Pass `data_dir`, the folder "
        f"that holds '{name}', or prepare it where there is a network: "
        f"`tensorflow_datasets.load('{name}', data_dir=...)`."
    ) from cause
