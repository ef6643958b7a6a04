"""What every test run shares: the backend, seeds, real data, and the account of what was skipped.

Environment variables:
    KERAS_BACKEND: the backend; TensorFlow by default.
    KERAS_DETR_BLOCK_TENSORFLOW=1: behave as if TensorFlow weren't installed.
    KERAS_DETR_SHARED: the folder of the shared sample of real images.

tests/skip_account.py has more of them.
"""

import gc
import os
import pathlib

from tests.absent_tensorflow import hide_tensorflow
from tests.quick_compilation import XLA_FLAGS

# All of this acts on what Keras and TensorFlow read while they are imported.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    # Workers that each take all cores wait for each other.
    share = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(variable, str(share))
if os.environ.get("KERAS_DETR_BLOCK_TENSORFLOW") == "1":
    hide_tensorflow()

import hypothesis
import keras
import pytest

from tests.shared_data import shared_data_folder
from tests.skip_account import pytest_sessionfinish, pytest_terminal_summary  # noqa: F401

SEED = 20200526
# A traced model is a million objects; by default each 700 of them have the garbage looked through.
gc.set_threshold(10_000)
LONGEST_FILE = pathlib.Path(__file__).parent / "test_backends.py"

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(SEED)


@pytest.fixture(scope="session")
def shared_data():
    """Return the folder of real data; only for tests marked `realdata`."""
    return shared_data_folder()


def pytest_runtest_setup(item):
    """Skip tests of real data where there is none."""
    if item.get_closest_marker("realdata") and shared_data_folder() is None:
        pytest.skip("the shared sample of real images isn't here")


def pytest_collection_modifyitems(config, items):
    """Leave out GPU tests where there is no GPU: no command could bring one.

    The tests that run a backend's suite come first in both of the two processes, which begin at the
    first test and in the middle: at the end one process would wait for the other.
    """
    longest = [item for item in items if item.path == LONGEST_FILE]
    others = [item for item in items if item.path != LONGEST_FILE]
    first, second = longest[::2], longest[1::2]
    rest_of_first = len(items) // 2 - len(first)
    items[:] = first + others[:rest_of_first] + second + others[rest_of_first:]
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_gpu and not has_gpu():
        items[:] = [item for item in items if item not in on_gpu]
        config.hook.pytest_deselected(items=on_gpu)


def pytest_collection_finish():
    """Leave the modules, which are here to stay, out of all garbage collections to come."""
    gc.collect()
    gc.freeze()


def has_gpu():
    """Return whether the backend sees a GPU."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available()
    try:
        return bool(keras.distribution.list_devices("gpu"))
    except RuntimeError:
        # JAX has no empty list for a platform that isn't there.
        return False
