"""JPEG files to training batches of two.

Ours decodes, augments as in the paper (mirror, resize, crop, resize) and makes batches at short
side 800. Hugging Face's processor decodes with PIL, resizes, normalizes and pads, without any
augmentation; KerasCV's closest pipeline decodes, mirrors, jitters scale and crops to a square of
800. The limit is decoding alone.
"""

import pathlib

import numpy as np

BOX_FORMAT = "rel_xyxy"
BATCH_SIZE = 2
BOXES = np.array([[0.1, 0.2, 0.6, 0.7], [0.3, 0.3, 0.9, 0.5]], np.float32)


def files_of(folder):
    """Return the JPEG files of a folder, as str."""
    return [str(file) for file in sorted(pathlib.Path(folder).glob("*.jpg"))]


def files_dataset(folder):
    """Return a data set of paths."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(files_of(folder))


def decoded(path):
    import tensorflow as tf

    return tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE")


def element(path):
    import tensorflow as tf

    boxes = {"boxes": tf.constant(BOXES), "classes": tf.constant([1, 2])}
    return {"images": decoded(path), "bounding_boxes": boxes}


def going_through(dataset):
    """Return a callable that draws all batches."""

    def run():
        for _ in dataset:
            pass

    return run


def decoding(folder):
    """Decode only: no pipeline of images can be faster."""
    return going_through(files_dataset(folder).map(decoded, num_parallel_calls=-1))


def ours(folder):
    """Draw batches of the paper's augmentation."""
    from keras_detr.preprocessing import DETRAugmentation, bucketed_batches

    augmentation = DETRAugmentation(bounding_box_format=BOX_FORMAT, seed=0)
    dataset = files_dataset(folder).map(
        lambda path: augmentation(element(path)), num_parallel_calls=-1
    )
    batches = bucketed_batches(dataset, batch_size=BATCH_SIZE, num_measured=0)
    return going_through(batches.prefetch(-1))


def keras_cv(folder):
    """Draw batches of KerasCV's layers."""
    import keras_cv
    import tensorflow as tf

    layers = [
        keras_cv.layers.RandomFlip("horizontal", bounding_box_format=BOX_FORMAT),
        keras_cv.layers.JitteredResize(
            (800, 800), scale_factor=(0.6, 1.25), bounding_box_format=BOX_FORMAT
        ),
    ]

    def floats(path):
        came = element(path)
        boxes = {name: tf.cast(rows, tf.float32) for name, rows in came["bounding_boxes"].items()}
        return {"images": tf.cast(came["images"], tf.float32), "bounding_boxes": boxes}

    dataset = files_dataset(folder).map(floats, num_parallel_calls=-1).ragged_batch(BATCH_SIZE)
    for layer in layers:
        dataset = dataset.map(layer, num_parallel_calls=-1)
    return going_through(dataset.prefetch(-1))


def transformers(folder):
    """Draw batches of transformers' image processor."""
    from PIL import Image
    from transformers import DetrImageProcessor

    processor, files = DetrImageProcessor(), files_of(folder)

    def run():
        for start in range(0, len(files), BATCH_SIZE):
            images = [Image.open(file).convert("RGB") for file in files[start : start + BATCH_SIZE]]
            processor(images, return_tensors="np")

    return run


CONTENDERS = {
    "keras_detr": ours,
    "keras_cv": keras_cv,
    "transformers": transformers,
    "limit": decoding,
}
