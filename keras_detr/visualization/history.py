"""Draw the curves of a training."""

import os
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from keras_detr.visualization.charts import new_figure, written

_VALIDATION = "val_"
_COUNTS = "_boxes"
_PANEL = (4.6, 3.2)
# The title of each panel, and which curves it shows.
_PANELS = (
    ("Loss", lambda name: name == "loss"),
    ("Parts of the loss", lambda name: name.endswith("_loss")),
    ("COCO AP and AR", lambda name: name.startswith(("AP", "AR"))),
    ("Best F1", lambda name: name.startswith("F1")),
    ("Learning rate", lambda name: "learning_rate" in name),
    ("Dropped and clipped boxes", lambda name: name.endswith(_COUNTS)),
    ("Other figures", lambda name: True),
)
# Where figures are parts of 1, and 0 must not look like some value.
_FROM_ZERO = ("COCO AP and AR", "Best F1")
_LEAST_TOP = 0.1
# More curves aren't readable: those at the end, such as AP by size, are left out.
_MOST_CURVES = 6


def plot_history(history: Any, *, path: str | os.PathLike[str] | None = None) -> Any:
    """Draw the logs of `fit` by epoch, training as solid and validation as dashed lines.

    Losses, COCO's metrics and the other values have panels of their own, and a figure has one color
    in training and validation. A panel has at most six figures; counts of dropped and clipped boxes
    are drawn if there are any.

    Args:
        history: `keras.callbacks.History`, as `fit` returns it, or its dict of lists.
        path: where to write the picture, a PNG; or `None`.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: there are no epochs, or no finite values.

    Example:
        ```python
        from keras_detr.visualization import plot_history

        logs = {"loss": [9.1, 5.2], "val_loss": [8.7, 5.0], "val_AP": [0.0, 0.2]}
        plot_history(logs, path="history.png")
        ```
    """
    logs = getattr(history, "history", history)
    logs = {name: values for name, values in logs.items() if _is_drawn(name, values)}
    if not logs:
        raise ValueError("`history` must hold finite figures of at least one epoch. Received none.")
    panels = _grouped(logs)
    num_columns = min(len(panels), 3)
    num_rows = -(-len(panels) // num_columns)
    size = (_PANEL[0] * num_columns, _PANEL[1] * num_rows)
    figure = new_figure(size)
    places = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, (title, names) in zip(places, panels.items(), strict=False):
        _draw_curves(axes, title, names, logs)
    if any(name.startswith(_VALIDATION) for name in logs):
        text = "solid: training, dashed: validation"
        figure.suptitle(text, fontsize=8, x=0.01, horizontalalignment="left")
    for axes in places[len(panels) :]:
        axes.remove()
    return written(figure, path)


def _is_drawn(name, values):
    return bool(np.isfinite(values).any() and (np.any(values) or not name.endswith(_COUNTS)))


def _grouped(logs):
    """Return a dict from titles to names of curves without the prefix of validation."""
    panels = {}
    names = dict.fromkeys(name.removeprefix(_VALIDATION) for name in logs)
    for title, is_shown in _PANELS:
        found = [name for name in names if is_shown(name)]
        if found:
            panels[title] = found[:_MOST_CURVES]
        names = [name for name in names if name not in found]
    return panels


def _draw_curves(axes, title, names, logs):
    curves = []
    for number, name in enumerate(names):
        for prefix, style in (("", "-"), (_VALIDATION, "--")):
            values = logs.get(prefix + name)
            if values is not None:
                epochs = range(1, len(values) + 1)
                settings = {"color": f"C{number}", "marker": ".", "label": prefix + name}
                curves += axes.plot(epochs, values, style, **settings)
    if title in _FROM_ZERO:
        axes.set_ylim(0, max(axes.get_ylim()[1], _LEAST_TOP))
    axes.set_title(title, fontsize=10, loc="left", fontweight="bold")
    axes.set_xlabel("epoch", fontsize=8)
    axes.tick_params(labelsize=8)
    # A single epoch would get a scale of its own, of parts of epochs.
    axes.set_xlim(min(0.9, axes.get_xlim()[0]), max(1.1, axes.get_xlim()[1]))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    # One entry for training and validation, which have one color.
    by_color = {curve.get_color(): curve for curve in reversed(curves)}
    shown = [by_color[color] for color in sorted(by_color)]
    labels = [curve.get_label().removeprefix(_VALIDATION) for curve in shown]
    axes.legend(shown, labels, fontsize=7, framealpha=0.8, edgecolor="none", handlelength=3.5)
