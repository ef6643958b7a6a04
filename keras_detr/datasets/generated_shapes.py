"""A small detection data set of generated shapes, which needs no download."""

import os
from typing import Any

import numpy as np
import scipy.ndimage
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_detr.datasets.coco_features import elements_from_builder
from keras_detr.datasets.shape_drawing import CLASS_NAMES, draw_scene
from keras_detr.datasets.shapes_config import ShapesConfig
from keras_detr.ops.backends import current


class Shapes(tfds.core.GeneratorBasedBuilder):
    """Generate images of shapes with coco/2017's features.

    A box encloses the visible pixels of an object, and its area is their number. There are no
    crowds, and some images have no objects. The same config gives the same data set.

    Example:
        ```python
        from keras_detr.datasets import Shapes, ShapesConfig

        builder = Shapes(data_dir="shapes", config=ShapesConfig(num_train=4, num_validation=2))
        print(builder.info.features["objects"])
        ```
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [ShapesConfig()]  # noqa: RUF012

    def _info(self):
        labels = tfds.features.ClassLabel(names=CLASS_NAMES)
        objects = {
            "area": np.int64,
            "bbox": tfds.features.BBoxFeature(),
            "id": np.int64,
            "is_crowd": np.bool_,
            "label": labels,
        }
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "image/filename": tfds.features.Text(),
            "image/id": np.int64,
            "objects": tfds.features.Sequence(objects),
        }
        return self.dataset_info_from_configs(
            description="Generated shapes with the features of coco/2017.",
            features=tfds.features.FeaturesDict(features),
        )

    def _split_generators(self, dl_manager):
        config = self.builder_config
        num_images = config.num_train + config.num_validation
        return {
            "train": self._generate_examples(range(config.num_train)),
            "validation": self._generate_examples(range(config.num_train, num_images)),
        }

    def _generate_examples(self, image_ids):
        for image_id in image_ids:
            yield image_id, self._example(image_id)

    def _example(self, image_id):
        config = self.builder_config
        rng = np.random.default_rng([config.seed, image_id])
        height, width = rng.integers(config.min_side, config.max_side + 1, 2).tolist()
        is_empty = rng.random() < config.empty_share
        num_objects = 0 if is_empty else int(rng.integers(1, config.max_objects + 1))
        sizes = config.min_size, config.max_size
        scene = draw_scene(rng, height, width, num_objects, sizes, config.max_tilt)
        objects = []
        extents = scipy.ndimage.find_objects(scene.owners + 1)
        for index, (rows, columns) in enumerate(extents):
            corners = (
                rows.start / height,
                columns.start / width,
                rows.stop / height,
                columns.stop / width,
            )
            objects.append(
                {
                    "area": int((scene.owners == index).sum()),
                    "bbox": tfds.features.BBox(*corners),
                    "id": image_id * config.max_objects + index,
                    "is_crowd": False,
                    "label": int(scene.classes[index]),
                }
            )
        return {
            "image": scene.image,
            "image/filename": f"{image_id:06d}.jpg",
            "image/id": image_id,
            "objects": objects,
        }


def load_shapes(
    split: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    bounding_box_format: str = "xyxy",
    config: Any = None,
    shuffle_files: bool | None = None,
) -> Any:
    """Load a split of the generated shapes, generating them on first use.

    Args:
        split: str, a TFDS split such as "train", "validation" or "train[:100]".
        data_dir: str, the folder to keep the data set in; None is TFDS' own.
        bounding_box_format: str, one of `keras_detr.ops.boxes.BOX_FORMATS`.
        config: `ShapesConfig`; None is 2,000 training and 200 validation images.
        shuffle_files: bool, whether images are in random order, a new one in each pass; None is
            True for "train" and its parts.

    Returns:
        tf.data.Dataset of unbatched elements with the attribute `class_names`; see
        `keras_detr.datasets.coco_features.elements_from_builder`.

    Raises:
        ValueError: an argument is invalid.

    Example:
        ```python
        from keras_detr.datasets import ShapesConfig, load_shapes

        config = ShapesConfig(num_train=4, num_validation=2)
        images = load_shapes("train", data_dir="shapes", config=config)
        print(images.class_names, next(iter(images))["bounding_boxes"]["boxes"].shape)
        ```
    """
    # TFDS requires that a configuration which the builder lists is given by its name.
    listed = {listed.name for listed in Shapes.BUILDER_CONFIGS}
    if config is not None and config.name in listed:
        config = config.name
    # Generating images and reading the files of a builder are work of TensorFlow.
    current().reserve_gpus(tf.config)
    builder = Shapes(data_dir=data_dir, config=config)
    if not builder.is_prepared():
        # Nothing is downloaded: the images are generated.
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
    return elements_from_builder(builder, split, bounding_box_format, "keep", shuffle_files)
