"""What the tests of models share: the one warning of Keras itself that saving a model gives."""

import pathlib

import pytest

HERE = pathlib.Path(__file__).parent
# Keras reads TensorFlow's variables with np.array, which NumPy 2 wants spelled otherwise.
KERAS_READS_VARIABLES = "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"


def pytest_collection_modifyitems(items):
    """Let that warning pass in this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(KERAS_READS_VARIABLES))
