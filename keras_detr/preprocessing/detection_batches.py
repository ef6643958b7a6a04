"""From a loaded data set to batches for training and for evaluation, as the papers make them."""

import numbers
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_detr.batches.shapes import check_batch_size
from keras_detr.ops.backends.interface import Process
from keras_detr.preprocessing.bucketing import bucketed_batches, scaled_canvases
from keras_detr.preprocessing.detr_augmentation import DETRAugmentation
from keras_detr.preprocessing.random_draws import map_with_seeds
from keras_detr.preprocessing.resize_shortest_side import ResizeShortestSide
from keras_detr.preprocessing.short_side_sizes import is_pair_of_sizes
from keras_detr.preprocessing.undecoded_elements import (
    augmented_part,
    common_seed,
    decoded_batches,
    num_batches,
)


def training_batches(
    dataset: Any,
    sizes: Sequence[int] = (800, 1333),
    batch_size: int = 4,
    *,
    bounding_box_format: str,
    max_boxes: int | Sequence[int] | None = None,
    seed: int | None = None,
    process: Sequence[int] | None = None,
) -> Any:
    """Return endless batches with the papers' augmentation.

    Pass `steps_per_epoch` to `fit`: the images of the data set divided by `batch_size`.

    Where several processes train together, `fit` lets each read and decode only its own rows of
    every batch. Together they have the batches that one process would make with the same seed. A
    data set that isn't just as its loader returned it, or skips broken images, is read whole by
    each, as are batches that aren't just as this function returned them.

    Args:
        dataset: tf.data.Dataset of unbatched elements, as the loaders of `keras_detr.datasets`
            return it, in random order.
        sizes: pair of int, pixels: the largest short side, and the long side's limit. Those of
            `model.preprocessor_sizes` suit the weights of a preset; smaller ones are faster.
        batch_size: int, images a batch, of all processes together.
        bounding_box_format: str, the format of the data set's boxes.
        max_boxes: int or sequence of int, see `bucketed_batches`; None is the most boxes of an
            image, which the data set's `report` knows. Several processes pad to the largest.
        seed: int or None; of the augmentation and, for a data set as its loader returned it, of
            the order of the images. Each iterator is augmented anew: the second epoch isn't the
            first. None: several processes get that of the first.
        process: pair of int, the index of this process, from 0, and how many there are: these rows
            of each batch are read and returned, for a training loop of your own. None: all rows,
            of which `fit` takes the process' own.

    Returns:
        tf.data.Dataset of padded batches, for `fit`, with the `class_names` of the data set.

    Raises:
        ValueError: `dataset`, `sizes` or `batch_size` is invalid; `max_boxes` is None, and the data
            set has no report; or `process` is given, and is no such pair, has no `seed` beside it,
            the data set can't be read in parts, or `batch_size` can't be divided so.

    Example:
        ```python
        from keras_detr.datasets import load_folder
        from keras_detr.preprocessing import evaluation_batches, training_batches

        data = load_folder("my_data", bounding_box_format="rel_xyxy")
        sizes = (480, 800)
        train = training_batches(data.train, sizes, bounding_box_format="rel_xyxy")
        valid = evaluation_batches(data.valid, sizes, bounding_box_format="rel_xyxy")
        ```
    """
    _check_dataset(dataset, bounding_box_format)
    _check_sizes(sizes)
    check_batch_size(batch_size)
    augmentation = DETRAugmentation.scaled_to(sizes, bounding_box_format=bounding_box_format)
    max_boxes = _most_boxes(dataset, max_boxes)
    undecoded = getattr(dataset, "undecoded", None)

    def rows_of(process, seed):
        elements = augmented_part(
            undecoded, augmentation, _canvases(sizes), batch_size, process, seed
        )
        # Rows of one batch must have the same shape in all processes.
        padded = max_boxes if process.count == 1 or isinstance(max_boxes, int) else max(max_boxes)
        batches = _padded(elements, dataset, sizes, batch_size // process.count, padded)
        batches.is_part_of_process = process.count > 1
        return batches

    def rows_of_process(process):
        if batch_size % process.count:
            return None
        return rows_of(process, common_seed(undecoded, seed))

    if process is not None:
        process = _checked_process(process, undecoded, batch_size, seed)
        batches = rows_of(process, seed)
    elif undecoded is None:
        elements = map_with_seeds(augmentation, dataset.repeat(), seed)
        batches = _padded(elements, dataset, sizes, batch_size, max_boxes)
    else:
        batches = rows_of(Process(0, 1), seed)
        batches.rows_of_process = rows_of_process
    return batches


def evaluation_batches(
    dataset: Any,
    sizes: Sequence[int] | None = (800, 1333),
    batch_size: int | None = 4,
    *,
    bounding_box_format: str,
    max_boxes: int | Sequence[int] | None = None,
) -> Any:
    """Return batches of the images as they are, resized as for prediction, each image once.

    Where several processes evaluate together, `evaluate_detector` and `COCOEvaluation` let each
    read and decode only the batches that it predicts, of a data set as its loader returned it.

    Arguments and errors that aren't listed are those of `training_batches`.

    Args:
        sizes: as in `training_batches`; or None: images keep their size, which needs a `batch_size`
            of None.
        batch_size: int; or None: one image a batch, without padding. Models with a dilated backbone
            (DC5) were trained so, see `is_trained_unpadded` of a detector. On a GPU call
            `model.compile(jit_compile=False)` then: XLA would compile a program for each size.

    Returns:
        tf.data.Dataset of padded batches, for `evaluate`, `COCOEvaluation` and `predict`. It has a
        `len` if the data set knows the sizes of its images, as those of folders do.

    Raises:
        ValueError: `sizes` is None, and `batch_size` isn't.

    Example:
        ```python
        from keras_detr.preprocessing import evaluation_batches

        batches = evaluation_batches(elements, (64, 107), batch_size=2, bounding_box_format="xyxy")
        print(keras_detr.evaluation.evaluate_detector(model, batches)["AP"])
        ```
    """
    if sizes is None and batch_size is not None:
        raise ValueError(
            "`batch_size` must be None where `sizes` is: images that aren't resized have no common "
            f"size. Received: {batch_size!r}."
        )
    _check_dataset(dataset, bounding_box_format)
    check_batch_size(batch_size)
    resize = None
    if sizes is not None:
        _check_sizes(sizes)
        short_side, longest_side = sizes
        resize = ResizeShortestSide(
            short_side, longest_side=longest_side, bounding_box_format=bounding_box_format
        )
    most_boxes = None if batch_size is None else _most_boxes(dataset, max_boxes)
    canvases = None if batch_size is None else _canvases(sizes)
    undecoded, number = getattr(dataset, "undecoded", None), None
    if undecoded is not None:
        number = num_batches(undecoded, resize, canvases, batch_size)

    def batches_of(elements, number):
        if batch_size is None:
            return _prefetched(elements.batch(1), dataset, number)
        return _padded(elements, dataset, sizes, batch_size, most_boxes, number)

    def batches_of_process(process):
        own = decoded_batches(undecoded, resize, canvases, batch_size, process)
        share = None if number is None else len(range(process.index, number, process.count))
        return batches_of(own, share)

    elements = dataset
    if resize is not None:
        elements = dataset.map(resize, num_parallel_calls=tf.data.AUTOTUNE)
    batches = batches_of(elements, number)
    if undecoded is not None:
        batches.batches_of_process = batches_of_process
    return batches


def _check_dataset(dataset, bounding_box_format):
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(
            "`dataset` must be a tf.data.Dataset of single images, such as `data.train` of "
            f"`load_folder`. Received: {type(dataset).__name__}."
        )
    # What is mapped from a loader's data set doesn't know it, and says so with its first element.
    expected = getattr(dataset, "bounding_box_format", bounding_box_format)
    if bounding_box_format != expected:
        raise ValueError(
            f"`bounding_box_format` must be that of the data set, {expected!r}. Received: "
            f"{bounding_box_format!r}."
        )


def _check_sizes(sizes):
    sides = sizes if isinstance(sizes, Sequence) else ()
    # NumPy's integers are as good here.
    if not is_pair_of_sizes([int(s) if isinstance(s, numbers.Integral) else s for s in sides]):
        raise ValueError(
            "`sizes` must be a pair of int in pixels, the short side and the limit of the long "
            f"side, which is at least as large, or None. Received: {sizes!r}."
        )


def _checked_process(process, undecoded, batch_size, seed):
    """Return the argument `process` as a `Process`."""
    pair = tuple(process)
    if len(pair) != 2 or not 0 <= pair[0] < pair[1]:
        raise ValueError(
            "`process` must be the index of a process, from 0, and the number of all processes. "
            f"Received: {process!r}."
        )
    if undecoded is None:
        raise ValueError(
            "`process` must be None for a data set that can't be read in parts. Pass the data set "
            "as its loader returned it: `map` and `take` lose what that needs, and with "
            "`broken_images='skip'` nobody knows before which images are left; 'find' does. "
            f"Received: {process!r}."
        )
    if batch_size % pair[1]:
        raise ValueError(
            "`batch_size` is the number of images that all processes have together, and must be "
            f"divisible by their number, {pair[1]}. Received: {batch_size!r}."
        )
    if seed is None:
        raise ValueError("`seed` must be an int where `process` is given. Received: None.")
    return Process(*pair)


def _most_boxes(dataset, max_boxes):
    if max_boxes is not None:
        return max_boxes
    report = getattr(dataset, "report", None)
    if report is None:
        raise ValueError(
            "`max_boxes` is missing: this data set has no report, from which it could be taken. "
            "Pass the most boxes of an image, such as 100 for COCO, or the data set as its loader "
            "returned it: `map` and `take` lose the report."
        )
    return max(1, report.most_boxes)


def _padded(elements, dataset, sizes, batch_size, max_boxes, number=None):
    """Return batches on a few canvases of elements that are resized to `sizes` at most."""
    canvases = _canvases(sizes)
    # Nobody has chosen the canvases who could choose better ones, so they aren't measured.
    batches = bucketed_batches(elements, canvases, batch_size, max_boxes=max_boxes, num_measured=0)
    return _prefetched(batches, dataset, number)


def _canvases(sizes):
    short_side, longest_side = sizes
    return scaled_canvases(short_side, longest_side=longest_side)


def _prefetched(batches, dataset, number=None):
    """Return batches that are made in advance, `number` of them if that is known."""
    if number is not None:
        batches = batches.apply(tf.data.experimental.assert_cardinality(number))
    # A batch with masks may take a few hundred MB.
    has_masks = "masks" in batches.element_spec.get("bounding_boxes", {})
    batches = batches.prefetch(1 if has_masks else tf.data.AUTOTUNE)
    if hasattr(dataset, "class_names"):
        # So that a model of other classes refuses them.
        batches.class_names = dataset.class_names
    return batches
