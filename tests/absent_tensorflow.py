"""Hide TensorFlow, and what needs it, as if it weren't installed."""

import importlib.machinery
import sys

HIDDEN = ("tensorflow", "keras_cv", "tensorflow_datasets")


class _PathFinderWithoutTensorFlow(importlib.machinery.PathFinder):
    """Find what is installed, except the hidden packages.

    An entry `None` in `sys.modules` would do for imports, but Keras takes it for an import that
    happened; and torch looks packages up without importing them.
    """

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname.partition(".")[0] in HIDDEN:
            return None
        return super().find_spec(fullname, path, target)


def hide_tensorflow():
    """Make TensorFlow unfindable from now on."""
    place = sys.meta_path.index(importlib.machinery.PathFinder)
    sys.meta_path[place] = _PathFinderWithoutTensorFlow
