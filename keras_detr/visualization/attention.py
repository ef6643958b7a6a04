"""Draw the attention of a detector."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from keras_detr.batches.image_sizes import unpadded_sizes
from keras_detr.batches.structure import input_parts
from keras_detr.ops.boxes import convert_box_format
from keras_detr.visualization.drawn_objects import drawn_objects, unpadded_image
from keras_detr.visualization.panels import Panel, draw_panels


def plot_attention(
    model: Any,
    image: Any,
    queries: Sequence[int] | None = None,
    *,
    layer: int = -1,
    confidence_threshold: float = 0.5,
    class_names: Sequence[str] | None = None,
    max_queries: int = 7,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Draw the decoder's attention to an image for single queries.

    The first panel shows the image with the detections of the queries. Then each query has a panel:
    for DETR it shows the attention weights over the image, averaged over all heads; for Deformable
    DETR the sampling points of all heads and levels, whose sizes and colors show their weights.

    Args:
        model: a detector with `decoder_attention`.
        image: (height, width, 3), values 0..255, of any size: the model's `preprocessor`, if there
            is one, resizes it, as for `predict`; or a batch of one image, which isn't resized: a
            dict of "images" (1, height, width, 3) and optionally "pixel_mask" (1, height, width).
        queries: sequence of int, the queries; or `None` for the most confident ones.
        layer: int, the decoder layer; -1 is the last.
        confidence_threshold: float, less confident queries aren't drawn, except the best one.
        class_names: sequence of str, one a class; or `None` for those of the model, if it has any.
        max_queries: int, the most queries that are drawn if `queries` is `None`.
        path: where to write the picture, a PNG; or `None`.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: a shape is wrong, or there is no such query or layer.
        ImportError: an image has to be resized, and TensorFlow isn't installed.

    Example:
        ```python
        from keras_detr.visualization import plot_attention

        image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), "uint8")
        plot_attention(model, image, path="attention.png")
        ```
    """
    batch, image = _batch_and_picture(model, image)
    attention = model.decoder_attention(batch)
    attention = {name: values[0] for name, values in attention.items()}
    num_layers, num_queries = attention["attention_weights"].shape[:2]
    if not -num_layers <= layer < num_layers:
        raise ValueError(f"`layer` must be one of {num_layers} decoder layers. Received: {layer}.")
    if queries is None:
        queries = _most_confident(attention["confidence"], confidence_threshold, max_queries)
    queries = [int(query) for query in queries]
    if not queries or not all(0 <= query < num_queries for query in queries):
        raise ValueError(
            f"`queries` must name at least one of the queries 0 to {num_queries - 1}. Received: "
            f"{queries}."
        )
    seen_size, canvas_size = _sizes(batch)
    names = model.class_names if class_names is None else class_names
    found = {
        "boxes": convert_box_format(
            attention["boxes"], model.bounding_box_format, "rel_xyxy", seen_size, np.stack
        ),
        "classes": attention["classes"],
        "confidence": attention["confidence"],
    }
    drawn = [_drawn_query(found, query, image.shape[:2], names) for query in queries]
    panels = [Panel(image, drawn, "Queries and what they found", "")]
    backdrop = _backdrop(image)
    picture_size = np.array(image.shape[:2])
    for query, item in zip(queries, drawn, strict=True):
        weights = attention["attention_weights"][layer, query]
        points = heat = None
        if "sampling_points" in attention:
            places = attention["sampling_points"][layer, query].reshape(-1, 2)
            points = places * picture_size[::-1], weights.ravel()
            heads = "1 head" if len(weights) == 1 else f"{len(weights)} heads"
            details = f"{item.label}, {len(places)} points in {heads}"
        else:
            mean = weights.mean(axis=0)
            heat = mean, picture_size * canvas_size / seen_size
            details = f"{item.label}, at most {mean.max():.1%} a cell"
        unlabeled = [item._replace(label="")]
        panels.append(Panel(backdrop, unlabeled, f"Query {query}", details, points, heat))
    return draw_panels(panels, path)


def _batch_and_picture(model, image):
    """Return the model's input, a batch of one image, and the image to draw, uint8."""
    if isinstance(image, dict):
        images, mask, _ = input_parts(image)
        if len(images) != 1:
            raise ValueError(
                f"`image` must be a single image, or a batch of one. Received shape {images.shape}."
            )
        return image, unpadded_image(images[0], None if mask is None else mask[0])
    picture = unpadded_image(image)
    if model.preprocessor is None:
        return {"images": picture[None]}, picture
    return model.preprocessor([picture]), picture


def _sizes(batch):
    """Return (height, width) of the model's image without padding, and with it."""
    images, mask, _ = input_parts(batch)
    sides = unpadded_sizes(images, None if mask is None else np.asarray(mask))
    return tuple(int(side[0]) for side in sides), np.shape(images)[1:3]


def _most_confident(confidence, threshold, max_queries):
    if max_queries < 1:
        raise ValueError(f"`max_queries` must be at least 1. Received: {max_queries}.")
    order = np.argsort(-confidence, kind="stable")
    num_certain = max(1, int((confidence >= threshold).sum()))
    return order[: min(num_certain, max_queries)]


def _drawn_query(found, query, image_size, class_names):
    of_query = {name: values[query : query + 1] for name, values in found.items()}
    (item,) = drawn_objects(of_query, "rel_xyxy", image_size, class_names)
    return item


def _backdrop(image):
    """Return an image in dark grey, on which colors stand out."""
    dark = Image.fromarray(image).convert("L").point(lambda grey: 18 + grey // 2)
    return np.asarray(dark.convert("RGB"))
