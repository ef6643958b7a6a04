"""Draw what an image is divided into: a panoptic map."""

import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_detr.batches.class_names import check_class_names
from keras_detr.ops.numpy_arrays import to_numpy
from keras_detr.visualization.drawn_objects import DrawnSegment, class_name, unpadded_image
from keras_detr.visualization.panels import Panel, draw_panels


def plot_segments(
    image: Any,
    segment_map: Any,
    segments: Sequence[dict[str, Any]],
    *,
    class_names: Sequence[str] | None = None,
    title: str = "Segments",
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw the segments of one image, each filled with the color of its class.

    Things have an outline too, which keeps two of one class apart. A name is written once on each
    segment that has room for it.

    Args:
        image: (height, width, 3), values 0..255.
        segment_map: int (height, width), the id of each pixel's segment, 0 for none.
        segments: sequence of dict, one a segment: "id" (int, from 1 on), "class" (int), "is_thing"
            (bool), and perhaps "name" (str), as `keras_detr.inference.panoptic_segments` returns
            it, and `keras_detr.inference.PanopticSegments` holds it.
        class_names: sequence of str, one a class, for segments without a "name"; or `None`.
        title: str, above the image.
        path: where to write the picture, a PNG; or `None`.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: a shape is wrong, the map has a segment that isn't in `segments`, or a class has
            no name.

    Example:
        ```python
        from keras_detr.visualization import plot_segments

        image = np.full((60, 80, 3), 128, "uint8")
        segment_map = np.ones((60, 80), "int32")
        segment_map[20:50, 10:40] = 2
        segments = [
            {"id": 1, "class": 1, "is_thing": False},
            {"id": 2, "class": 0, "is_thing": True},
        ]
        plot_segments(image, segment_map, segments, class_names=["cat", "sky"], path="map.png")
        ```
    """
    image = unpadded_image(image)
    segment_map = to_numpy(segment_map)
    if segment_map.shape != image.shape[:2] or segment_map.dtype.kind not in "iu":
        raise ValueError(
            f"`segment_map` must be int of the size of the image, {image.shape[:2]} (height, "
            f"width). Received: {segment_map.dtype} {segment_map.shape}."
        )
    areas = dict(zip(*map(np.ndarray.tolist, np.unique_counts(segment_map)), strict=True))
    unknown = areas.keys() - {0, *(segment["id"] for segment in segments)}
    if unknown:
        raise ValueError(
            "`segments` must have every segment of the map. Received a map with the ids "
            f"{sorted(unknown)[:5]}, which it lacks."
        )
    names = check_class_names(class_names)
    drawn = [
        DrawnSegment(
            class_id=int(segment["class"]),
            label=segment.get("name") or class_name(int(segment["class"]), names),
            is_thing=bool(segment["is_thing"]),
            mask=functools.partial(np.equal, segment_map, segment["id"]),
        )
        # Names of large segments are placed first.
        for segment in sorted(segments, key=lambda segment: -areas.get(segment["id"], 0))
    ]
    count = "1 segment" if len(drawn) == 1 else f"{len(drawn) or 'no'} segments"
    return draw_panels([Panel(image, [], title, count, segments=drawn)], path)
