"""Elements of a data set whose images aren't decoded yet, grouped and divided among processes."""

import functools
import random
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_detr.ops.processes import gather
from keras_detr.preprocessing.bucketing import smallest_canvas
from keras_detr.preprocessing.random_draws import drawing_from, with_seeds


class UndecodedElements(NamedTuple):
    """Say how to read a data set's elements in two steps: what they are, and then their pixels.

    The loaders of `keras_detr.datasets` hang it at their data sets, as `undecoded`.

    Attributes:
        records: function of a seed, int or None, that returns a tf.data.Dataset of tensors or
            structures of them, one for each image; where the data set is in random order, by this
            seed.
        size: function from a record to the int32 (height, width) of its image.
        decode: function from a record to the element.
        sizes: int array (images, 2) of all sizes, or `None` where the records tell them.
    """

    records: Callable[[int | None], Any]
    size: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    sizes: np.ndarray | None = None


def augmented_part(undecoded, augmentation, canvases, batch_size, process, seed):
    """Return this process' elements of endless batches, in their order, augmented.

    The sizes that images will have are drawn first, without pixels. So images are grouped to
    batches before they are decoded, and each process decodes its own. Groups hold file names, or
    encoded images, and no pixels.

    Args:
        undecoded: `UndecodedElements`.
        augmentation: `BoxAwareLayer`.
        canvases: list of (height, width), smallest first; the images of a batch have one of them.
        batch_size: int, images that all processes together have in a batch.
        process: `Process`, each has as many consecutive images of a batch.
        seed: int or None; of the order and the augmentation.

    Returns:
        tf.data.Dataset of elements, of which `batch_size // process.count` consecutive ones are
        this process' part of a batch.
    """
    number = batch_size // process.count

    @tf.autograph.experimental.do_not_convert
    def with_canvas(record, seed):
        size = drawing_from(augmentation.size_after, undecoded.size(record), seed)
        return record, seed, smallest_canvas(size, canvases)

    @tf.autograph.experimental.do_not_convert
    def own_elements(canvas, window):
        return window.skip(process.index * number).take(number)

    @tf.autograph.experimental.do_not_convert
    def augmented(record, seed, canvas):
        return drawing_from(augmentation, undecoded.decode(record), seed)

    records = with_seeds(undecoded.records(seed).repeat(), seed)
    planned = records.map(with_canvas, num_parallel_calls=tf.data.AUTOTUNE)
    own = planned.group_by_window(
        lambda record, seed, canvas: canvas, own_elements, window_size=batch_size
    )
    return own.map(augmented, num_parallel_calls=tf.data.AUTOTUNE)


def decoded_batches(undecoded, resize, canvases, batch_size, process):
    """Return the elements of every n-th batch, of n processes, resized.

    Batch n of `bucketed_batches` is that of the process with the index n modulo their number. Only
    this process decodes its images.

    Args:
        undecoded, process: as in `augmented_part`.
        resize: `BoxAwareLayer`, which draws nothing; or None.
        canvases: as in `augmented_part`, used where there is a `batch_size`.
        batch_size: int; or None, if each image is a batch.

    Returns:
        tf.data.Dataset of elements, each batch's one after the other.
    """
    # Where the order is random, it must be the same one in all processes.
    records = undecoded.records(0)

    canvas_of = functools.partial(_canvas_of, undecoded.size, resize, canvases)

    @tf.autograph.experimental.do_not_convert
    def decoded(record):
        element = undecoded.decode(record)
        return element if resize is None else resize(element)

    if batch_size is None:
        own = records.shard(process.count, process.index)
    else:
        batches = records.group_by_window(
            canvas_of,
            lambda canvas, window: tf.data.Dataset.from_tensors(window),
            window_size=batch_size,
        )
        own = batches.shard(process.count, process.index).flat_map(lambda window: window)
    return own.map(decoded, num_parallel_calls=tf.data.AUTOTUNE)


@tf.autograph.experimental.do_not_convert
def _canvas_of(size_of, resize, canvases, record):
    """Return the place of the canvas of a record's image once it is resized."""
    return smallest_canvas(resize.size_after(size_of(record)), canvases)


def num_batches(undecoded, resize, canvases, batch_size):
    """Return the number of batches that `bucketed_batches` makes, or `None` if it isn't known.

    Arguments are those of `decoded_batches`.
    """
    if undecoded.sizes is None:
        return None
    if batch_size is None:
        return len(undecoded.sizes)
    sizes, counts = np.unique(undecoded.sizes, axis=0, return_counts=True)
    places = tf.data.Dataset.from_tensor_slices(sizes.astype("int32")).map(
        functools.partial(_canvas_of, tf.identity, resize, canvases)
    )
    by_canvas = np.bincount(list(places.as_numpy_iterator()), counts).astype(int)
    return int(np.sum(-(-by_canvas // batch_size)))


def common_seed(undecoded, seed):
    """Return the seed of the first process; all processes call this.

    Raises:
        ValueError: in all processes: they have other data sets, or not the same order.
    """
    seed = gather(random.randint(1, 10**9) if seed is None else seed)[0]
    first = undecoded.records(seed).take(4)
    content = [
        tf.io.serialize_tensor(tensor).numpy()
        for record in first
        for tensor in tf.nest.flatten(record, expand_composites=True)
    ]
    checksums = gather(zlib.crc32(b"".join(content)))
    if len(set(checksums)) > 1:
        raise ValueError(
            "All processes must read the same images in the same order, of which each decodes its "
            "own rows, and they differ. Call `keras.utils.set_random_seed(0)` first in all "
            f"processes, and load the same data. Received checksums of the first: {checksums}."
        )
    return seed
