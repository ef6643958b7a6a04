"""Draw a confusion matrix."""

import os
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm

from keras_detr.visualization.charts import new_figure, shortened, written

_COLORS = "Blues"
_LEAST_SIDE, _MOST_SIDE, _CELL = 3.6, 14.0, 0.42
_ROOM_FOR_NAMES = 1.9
# In larger matrices numbers can't be read.
_MOST_WITH_NUMBERS = 25
_LONGEST_NAME = 22
_BACKGROUND = "background"


def plot_confusion_matrix(matrix: Any, *, path: str | os.PathLike[str] | None = None) -> Any:
    """Draw which true classes were detected as which.

    A cell's color is its share of the true class, and its number counts objects; the last row holds
    detections of the background, colored by their share of all of them, and the last column missed
    objects.

    Args:
        matrix: `keras_detr.evaluation.ConfusionMatrix`, from `COCOMetrics.confusion_matrix`.
        path: where to write the picture, a PNG; or `None`.

    Returns:
        `matplotlib.figure.Figure`.

    Example:
        ```python
        from keras_detr.evaluation import ConfusionMatrix
        from keras_detr.visualization import plot_confusion_matrix

        matrix = ConfusionMatrix(
            class_names=("cat", "dog"),
            confidence_threshold=0.5,
            iou_threshold=0.5,
            counts=np.array([[7, 1, 2], [0, 9, 1], [1, 3, 0]]),
        )
        plot_confusion_matrix(matrix, path="confusion_matrix.png")
        ```
    """
    counts = np.asarray(matrix.counts)
    names = [*(shortened(name, _LONGEST_NAME) for name in matrix.class_names), _BACKGROUND]
    number = len(names)
    side = float(np.clip(_CELL * number, _LEAST_SIDE, _MOST_SIDE))
    size = (side + _ROOM_FOR_NAMES, side + _ROOM_FOR_NAMES)
    figure = new_figure(size)
    axes = figure.add_subplot()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The square root shows rare confusions too.
    image = axes.imshow(share, cmap=_COLORS, norm=PowerNorm(0.5, 0.0, 1.0))
    has_numbers = number <= _MOST_WITH_NUMBERS
    # Points: as high as a row allows. A "$" in a class name isn't the beginning of a formula.
    plain: dict[str, Any] = {"fontsize": min(8.0, 0.62 * 72 * side / number), "parse_math": False}
    axes.set_xticks(range(number), names, rotation=90, **plain)
    axes.set_yticks(range(number), names, **plain)
    axes.tick_params(length=0)
    axes.set_xlabel("detected as", fontsize=9)
    axes.set_ylabel("true class", fontsize=9)
    axes.set_title(
        f"confidence {matrix.confidence_threshold:.2f}, IoU {matrix.iou_threshold:.2f}",
        fontsize=9,
        loc="left",
    )
    axes.spines[:].set_visible(False)
    # Between the classes and the background.
    for line in (axes.axhline, axes.axvline):
        line(number - 1.5, color="white", linewidth=2.5 if has_numbers else 0.8)
    if has_numbers:
        for row, column in zip(*np.nonzero(counts), strict=True):
            color = "white" if share[row, column] > 0.35 else "#22262b"
            axes.text(
                column, row, counts[row, column], ha="center", va="center", fontsize=7, color=color
            )
    bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02)
    bar.set_label("share of the row", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    return written(figure, path)
