"""What pictures of curves and tables share: a figure, its file, and names of bounded length."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_DOTS_PER_INCH = 150


def new_figure(size):
    """Return an empty figure that needs no window system.

    Args:
        size: pair of float, width and height in inches.
    """
    figure = Figure(size, dpi=_DOTS_PER_INCH, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def written(figure, path):
    """Return a figure, after it was written as a PNG if there is a path."""
    if path is not None:
        figure.savefig(path)
    return figure


def shortened(name, longest):
    """Return a class name of at most `longest` characters, with an ellipsis if it is cut."""
    return name if len(name) <= longest else f"{name[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"
