"""From a loaded data set to batches for training and for evaluation, as the papers make them."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_detr.preprocessing.bucketing import bucketed_batches, scaled_canvases
from keras_detr.preprocessing.detr_augmentation import DETRAugmentation
from keras_detr.preprocessing.random_draws import map_with_seeds
from keras_detr.preprocessing.resize_shortest_side import ResizeShortestSide


def training_batches(
    dataset: Any,
    sizes: Sequence[int] = (800, 1333),
    batch_size: int = 4,
    *,
    bounding_box_format: str,
    max_boxes: int | Sequence[int] | None = None,
    seed: int | None = None,
) -> Any:
    """Return endless batches with the papers' augmentation.

    Pass `steps_per_epoch` to `fit`: the images of the data set divided by `batch_size`.

    Args:
        dataset: tf.data.Dataset of unbatched elements, as the loaders of `keras_detr.datasets`
            return it, in random order.
        sizes: pair of int, pixels: the largest short side, and the long side's limit. Those of
            `model.preprocessor_sizes` suit the weights of a preset; smaller ones are faster.
        batch_size: int, images a batch.
        bounding_box_format: str, the format of the data set's boxes.
        max_boxes: int or sequence of int, see `bucketed_batches`; None is the most boxes of an
            image, which the data set's `report` knows.
        seed: int or None; of the augmentation, which depends on it and on the order of the images
            only. Each iterator is augmented anew: the second epoch isn't the first.

    Returns:
        tf.data.Dataset of padded batches, for `fit`, with the `class_names` of the data set.

    Raises:
        ValueError: `max_boxes` is None, and the data set has no report.

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
    augmentation = DETRAugmentation.scaled_to(sizes, bounding_box_format=bounding_box_format)
    max_boxes = _most_boxes(dataset, max_boxes)
    elements = map_with_seeds(augmentation, dataset.repeat(), seed)
    return _padded(elements, dataset, sizes, batch_size, max_boxes)


def evaluation_batches(
    dataset: Any,
    sizes: Sequence[int] | None = (800, 1333),
    batch_size: int | None = 4,
    *,
    bounding_box_format: str,
    max_boxes: int | Sequence[int] | None = None,
) -> Any:
    """Return batches of the images as they are, resized as for prediction, each image once.

    Arguments and errors that aren't listed are those of `training_batches`.

    Args:
        sizes: as in `training_batches`; or None: images keep their size, which needs a `batch_size`
            of None.
        batch_size: int; or None: one image a batch, without padding. Models with a dilated backbone
            (DC5) were trained so, see `is_trained_unpadded` of a detector. On a GPU call
            `model.compile(jit_compile=False)` then: XLA would compile a program for each size.

    Returns:
        tf.data.Dataset of padded batches, for `evaluate`, `COCOEvaluation` and `predict`.

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
    elements = dataset
    if sizes is not None:
        short_side, longest_side = sizes
        resize = ResizeShortestSide(
            short_side, longest_side=longest_side, bounding_box_format=bounding_box_format
        )
        elements = dataset.map(resize, num_parallel_calls=tf.data.AUTOTUNE)
    if batch_size is None:
        return _prefetched(elements.batch(1), dataset)
    return _padded(elements, dataset, sizes, batch_size, _most_boxes(dataset, max_boxes))


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


def _padded(elements, dataset, sizes, batch_size, max_boxes):
    """Return batches on a few canvases of elements that are resized to `sizes` at most."""
    short_side, longest_side = sizes
    canvases = scaled_canvases(short_side, longest_side=longest_side)
    # Nobody has chosen the canvases who could choose better ones, so they aren't measured.
    batches = bucketed_batches(elements, canvases, batch_size, max_boxes=max_boxes, num_measured=0)
    return _prefetched(batches, dataset)


def _prefetched(batches, dataset):
    # A batch with masks may take a few hundred MB.
    has_masks = "masks" in batches.element_spec.get("bounding_boxes", {})
    batches = batches.prefetch(1 if has_masks else tf.data.AUTOTUNE)
    if hasattr(dataset, "class_names"):
        # So that a model of other classes refuses them.
        batches.class_names = dataset.class_names
    return batches
