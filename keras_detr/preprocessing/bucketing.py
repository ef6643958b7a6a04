"""Batches of a few static shapes for images of all sizes."""

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_detr.ops.backends import current
from keras_detr.preprocessing.assertions import checked
from keras_detr.preprocessing.padding import checked_number, checked_rows
from keras_detr.preprocessing.padding_report import PaddingReport

# For short side 800, longest side 1333. On COCO, each image on the smallest canvas that holds it,
# 4% of all pixels are padding at short side 800, and 23% under the paper's augmentation; on one
# square canvas it would be half, and 70%.
CANVASES = (
    (576, 768),
    (768, 576),
    (800, 800),
    (800, 1067),
    (1067, 800),
    (800, 1200),
    (1200, 800),
    (800, 1344),
    (1344, 800),
)

# The original's rounding passes the longest side by half a pixel for each time that an image is as
# long as wide.
_ROOM_FOR_ROUNDING = 11


def scaled_canvases(short_side: int, *, longest_side: int | None = None) -> list[tuple[int, int]]:
    """Return canvases for another size than 800 and 1333, smallest first.

    Args:
        short_side: int, pixels, the short side that images are resized to at most.
        longest_side: int, the long side's limit in pixels, or None for no limit; then a long
            image may fit on none.

    Returns:
        list of (height, width), pixels. With a limit every image up to 22 times as long as wide
        fits on one of them.

    Example:
        ```python
        from keras_detr.preprocessing import scaled_canvases

        print(scaled_canvases(320, longest_side=533))
        ```
    """
    canvases = {tuple(-(-side * short_side // 800) for side in canvas) for canvas in CANVASES}
    if longest_side is not None:
        largest = longest_side + _ROOM_FOR_ROUNDING
        canvases = {tuple(min(largest, side) for side in canvas) for canvas in canvases}
        canvases |= {(short_side, largest), (largest, short_side)}
    return _by_area(canvases)


def bucketed_batches(
    dataset: Any,
    canvases: Sequence[Sequence[int]] = CANVASES,
    batch_size: int = 2,
    *,
    max_boxes: int | Sequence[int] = 100,
    drop_remainder: bool = False,
    num_measured: int = 100,
) -> Any:
    """Group images of similar shape into batches, each on the smallest canvas that holds them.

    XLA compiles a program a shape, and a square canvas for everything is mostly padding: a few
    canvases cost little of both. Every image stays whole and keeps its aspect, at the top left
    of its canvas.

    Args:
        dataset: tf.data.Dataset of unbatched elements, as `BoxAwareLayer` takes them, resized.
        canvases: sequence of (height, width) in pixels; one is a choice too.
        batch_size: int, images a batch.
        max_boxes: int, the number of boxes every image is padded to: -1, and class -1; further
            entries with 0. Or a sequence of int: each batch is padded to the smallest that holds
            its images, which gives denoising queries more groups, and XLA more programs.
        drop_remainder: bool, whether a canvas' last batch is left out where it isn't full. In
            training, repeat the data set before and leave it False: nothing is lost then.
        num_measured: int, after how many images the share of padded pixels is printed, or at the
            data set's end; 0 prints nothing. No image is read for it alone.

    Returns:
        tf.data.Dataset of batches with "pixel_mask", uint8 (batch, height, width), 1 image and
        0 padding. Its length is unknown. `element_spec` states a single `max_boxes`, the height and
        the width where all canvases share it, and with `drop_remainder` the batch size; it leaves
        open what differs from batch to batch.

    Raises:
        ValueError: an argument can't be understood.
        tf.errors.InvalidArgumentError: while it is read, an image fits on no canvas, or has more
            than the largest `max_boxes` boxes. Nothing is cropped or dropped silently.

    Example:
        ```python
        from keras_detr.preprocessing import bucketed_batches

        canvases = [(64, 96), (96, 64)]
        batches = bucketed_batches(elements, canvases, batch_size=2, max_boxes=10, num_measured=0)
        print(next(iter(batches))["images"].shape)  # (2, 64, 96, 3)
        ```
    """
    canvases = _by_area(canvases)
    row_counts = sorted({max_boxes} if isinstance(max_boxes, int) else set(max_boxes))
    if batch_size < 1 or not row_counts or row_counts[0] < 1:
        raise ValueError(
            "`batch_size` and `max_boxes` must be at least 1. Received: "
            f"batch_size={batch_size!r}, max_boxes={max_boxes!r}."
        )
    max_boxes = row_counts[-1]
    current().reserve_gpus(tf.config)
    table = tf.constant(canvases, tf.int64)
    heights, widths = (set(sides) for sides in zip(*canvases, strict=True))

    @tf.autograph.experimental.do_not_convert
    def canvas_of(element):
        return smallest_canvas(tf.shape(element["images"])[:2], canvases)

    @tf.autograph.experimental.do_not_convert
    def batch_of(index, window):
        # Constants, where there is no choice, become part of the batches' static shape.
        canvas = [
            table[index, axis] if len(sides) > 1 else tf.constant(min(sides), tf.int64)
            for axis, sides in enumerate((heights, widths))
        ]
        shapes, values = _padding(window.element_spec, canvas, max_boxes)
        return window.padded_batch(batch_size, shapes, values, drop_remainder)

    @tf.autograph.experimental.do_not_convert
    def with_mask(element):
        mask = tf.ones(tf.shape(element["images"])[:2], tf.uint8)
        element = {**element, "pixel_mask": mask}
        if "bounding_boxes" in element:
            boxes = checked_rows(element["bounding_boxes"], "bucketed_batches")
            element["bounding_boxes"] = checked_number(boxes, max_boxes, "bucketed_batches")
        return element

    dataset = dataset.map(with_mask, num_parallel_calls=tf.data.AUTOTUNE)
    if num_measured:
        dataset = _measured(dataset, PaddingReport(canvases, num_measured), num_measured)
    batches = dataset.group_by_window(canvas_of, batch_of, window_size=batch_size)
    if len(row_counts) == 1 or "bounding_boxes" not in batches.element_spec:
        return batches
    return batches.map(functools.partial(_without_spare_rows, row_counts))


def smallest_canvas(size, canvases):
    """Return the place of the first canvas that holds an image, int64, or raise an error.

    Args:
        size: int32 tensor (2,), height and width in pixels.
        canvases: list of (height, width), smallest first.
    """
    fits = tf.reduce_all(size <= tf.constant(canvases, tf.int32), axis=1)
    message = [
        "bucketed_batches: an image of (height, width)",
        size,
        f"fits on none of `canvases` {canvases}. Resize images before, with `ResizeShortestSide`, "
        "or add a larger canvas.",
    ]
    return checked(tf.argmax(fits), tf.reduce_any(fits), message)


def _by_area(canvases):
    canvases = [tuple(int(side) for side in canvas) for canvas in canvases]
    if not canvases or any(len(canvas) != 2 or min(canvas) < 1 for canvas in canvases):
        raise ValueError(
            "`canvases` must be pairs of (height, width) in pixels, each at least 1. "
            f"Received: {canvases!r}."
        )
    return sorted(canvases, key=lambda canvas: (canvas[0] * canvas[1], canvas))


def _padding(specs, canvas, max_boxes):
    """Return the shapes that `padded_batch` pads to, and the values it pads with."""
    shapes = tf.nest.map_structure(lambda spec: spec.shape, specs)
    values = tf.nest.map_structure(lambda spec: tf.zeros((), spec.dtype), specs)
    shapes["images"] = tf.stack([*canvas, specs["images"].shape[-1]])
    shapes["pixel_mask"] = tf.stack(canvas)
    if "bounding_boxes" in specs:
        shapes["bounding_boxes"] = {
            key: (max_boxes, *spec.shape[1:]) for key, spec in specs["bounding_boxes"].items()
        }
        if "masks" in specs["bounding_boxes"]:
            shapes["bounding_boxes"]["masks"] = tf.stack([max_boxes, *canvas])
        for key in ("boxes", "classes"):
            values["bounding_boxes"][key] -= 1
    return shapes, values


@tf.autograph.experimental.do_not_convert
def _without_spare_rows(row_counts, batch):
    """Return a batch with the least of `row_counts` rows that hold its boxes."""
    boxes = batch["bounding_boxes"]
    most = tf.reduce_max(tf.math.count_nonzero(boxes["classes"] >= 0, axis=1, dtype=tf.int32))
    count = tf.reduce_min(tf.where(most <= row_counts, row_counts, row_counts[-1]))
    return {**batch, "bounding_boxes": {key: rows[:, :count] for key, rows in boxes.items()}}


def _measured(dataset, report, num_measured):
    """Return the data set, of which the first images and the end are reported as they pass."""

    @tf.autograph.experimental.do_not_convert
    def measured(index, element):
        images = element["images"]
        size = tf.shape(images)[:2]
        done = tf.cond(
            index < num_measured,
            lambda: tf.numpy_function(report.measure, [size], tf.int64),
            lambda: tf.constant(0, tf.int64),
        )
        with tf.control_dependencies([done]):
            return {**element, "images": tf.identity(images)}

    @tf.autograph.experimental.do_not_convert
    def nothing(_):
        return dataset.take(tf.numpy_function(report.finish, [], tf.int64))

    passing = dataset.enumerate().map(measured)
    return passing.concatenate(tf.data.Dataset.range(1).flat_map(nothing))
