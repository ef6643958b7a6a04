"""Read a TFDS builder with the features of coco/2017, or coco/2017_panoptic, as a data set."""

import re

import tensorflow as tf
import tensorflow_datasets as tfds

from keras_detr.batches.carried_format import FORMAT_ENTRY
from keras_detr.batches.class_names import check_class_names
from keras_detr.datasets.image_files import decode_jpeg, with_fallback
from keras_detr.ops.backends import current
from keras_detr.ops.boxes import check_box_format, convert_box_format
from keras_detr.preprocessing.assertions import checked
from keras_detr.preprocessing.undecoded_elements import UndecodedElements

# Encoded images are shuffled, about 0.2 MB each: decoded ones would be many times as large.
_SHUFFLE_BUFFER = 1000
# The color of a panoptic image's pixel is the id of its object: R + 256 G + 65536 B.
_COLOR_VALUES = (1, 256, 65536)


def elements_from_builder(
    builder, split, bounding_box_format="xyxy", crowds=None, shuffle_files=None
):
    """Read a prepared split as elements of images and their boxes.

    Args:
        builder: tfds.core.DatasetBuilder with the features of coco/2017 or coco/2017_panoptic,
            already prepared.

    Other arguments are those of `keras_detr.datasets.load_coco`.

    Returns:
        tf.data.Dataset of `{"images": uint8 (height, width, 3), "bounding_boxes": {"boxes":
        float32 (N, 4), "classes": int32 (N,), 0-based, "area": float32 (N,) in pixels,
        "is_crowd": bool (N,)}, "image_id": int64, "image_size": int32 (height, width),
        "bounding_box_format": str}`. Images without boxes are kept. Panoptic ones also have
        "masks": bool (N, height, width) in "bounding_boxes". Its attribute `class_names`
        lists the names of the classes; a data set mapped from it doesn't have it.

    Raises:
        ValueError: the format, `split` or `crowds` is invalid.
        tf.errors.InvalidArgumentError: while reading, an image can't be decoded, or a panoptic one
            has another size than its image; the message names it.
    """
    check_box_format(bounding_box_format)
    is_train = _is_train(split)
    is_crowd_dropped = _is_crowd_dropped(split, is_train, crowds)
    is_shuffled = is_train is True if shuffle_files is None else shuffle_files

    is_panoptic = "panoptic_objects" in builder.info.features
    objects_key = "panoptic_objects" if is_panoptic else "objects"
    encoded = ("image", "panoptic_image") if is_panoptic else ("image",)

    # Nothing here branches on a tensor, and AutoGraph would take seconds to find that out.
    @tf.autograph.experimental.do_not_convert
    def element(features):
        objects = features[objects_key]
        if is_crowd_dropped:
            is_kept = tf.logical_not(objects["is_crowd"])
            objects = {key: tf.boolean_mask(rows, is_kept) for key, rows in objects.items()}
        result = _element(features, objects, bounding_box_format)
        if is_panoptic:
            result["bounding_boxes"]["masks"] = _masks(features, objects, result["image_size"])
        return result

    def examples(seed=None):
        dataset = builder.as_dataset(
            split=split,
            shuffle_files=is_shuffled,
            read_config=tfds.ReadConfig(add_tfds_id=False, shuffle_seed=seed),
            decoders={name: tfds.decode.SkipDecoding() for name in encoded},
        )
        return dataset.shuffle(_SHUFFLE_BUFFER, seed) if is_shuffled else dataset

    current().reserve_gpus(tf.config)
    dataset = examples().map(element, num_parallel_calls=tf.data.AUTOTUNE)
    dataset.undecoded = UndecodedElements(examples, _encoded_size, element)
    names = builder.info.features[objects_key]["label"].names
    dataset.class_names = list(check_class_names(names, what="The classes of the data set"))
    dataset.bounding_box_format = bounding_box_format
    return dataset


def _decoded(decode, content, name, kind):
    def fail(content):
        no_pixels = tf.zeros((0, 0, 3), tf.uint8)
        return checked(no_pixels, False, ["The image", name, f"can't be decoded as {kind}."])

    return with_fallback(decode, fail, content)


def _encoded_size(features):
    """Return the int32 (height, width) of an example's image, from its header if it is a JPEG's."""

    def size_in_header(content):
        return tf.io.extract_jpeg_shape(content)[:2]

    def size_of_pixels(content):
        # TensorFlow decodes images of other kinds too.
        return tf.shape(_decoded(decode_jpeg, content, features["image/filename"], "JPEG"))[:2]

    return with_fallback(size_in_header, size_of_pixels, features["image"])


def _element(features, objects, bounding_box_format):
    """Convert an example of TFDS, whose boxes are rel_yxyx, to an element of the data set."""
    image = _decoded(decode_jpeg, features["image"], features["image/filename"], "JPEG")
    image_size = tf.shape(image)[:2]
    height, width = tf.unstack(tf.cast(image_size, tf.float32))
    bounding_boxes = {
        "boxes": convert_box_format(
            objects["bbox"], "rel_yxyx", bounding_box_format, (height, width), stack=tf.stack
        ),
        "classes": tf.cast(objects["label"], tf.int32),
        "area": tf.cast(objects["area"], tf.float32),
        "is_crowd": objects["is_crowd"],
    }
    return {
        "images": image,
        "bounding_boxes": bounding_boxes,
        "image_id": features["image/id"],
        "image_size": image_size,
        FORMAT_ENTRY: tf.constant(bounding_box_format),
    }


def _masks(features, objects, image_size):
    """Return the masks of objects (N, height, width), which a panoptic image shows by color."""
    name = features["panoptic_image/filename"]
    pixels = _decoded(_decode_png, features["panoptic_image"], name, "PNG")
    size = tf.shape(pixels)[:2]
    pixels = checked(
        pixels,
        tf.reduce_all(size == image_size),
        ["The panoptic image", name, "is of", size, "pixels, and its image of", image_size],
    )
    ids = tf.reduce_sum(tf.cast(pixels, tf.int32) * _COLOR_VALUES, axis=-1)
    return ids == tf.cast(objects["id"], tf.int32)[:, None, None]


def _decode_png(content):
    return tf.ensure_shape(tf.io.decode_png(content, channels=3), (None, None, 3))


def _is_train(split):
    """Return whether all parts of a split are "train", or None if some are and some aren't."""
    if not isinstance(split, str):
        raise ValueError(
            "`split` must be one TFDS split, a str such as 'validation' or 'train[:10%]'. "
            f"Received: {split!r}."
        )
    is_train = {name == "train" for name in re.findall(r"[A-Za-z_]\w*(?=\s*(?:\[|\(|\+|$))", split)}
    return is_train.pop() if len(is_train) == 1 else None


def _is_crowd_dropped(split, is_train, crowds):
    if crowds not in (None, "drop", "keep"):
        raise ValueError(f"`crowds` must be 'drop', 'keep' or None. Received: {crowds!r}.")
    if crowds is not None:
        return crowds == "drop"
    if is_train is None:
        raise ValueError(
            f"`split` {split!r} isn't plainly for training or for evaluation. Say `crowds='drop'` "
            "(training) or `crowds='keep'` (evaluation)."
        )
    return is_train
