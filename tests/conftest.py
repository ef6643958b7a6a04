"""What every test run shares: the backend, seeds, real data, and the account of what was skipped.

Environment variables:
    KERAS_BACKEND: the backend; TensorFlow by default.
    KERAS_DETR_BLOCK_TENSORFLOW=1: behave as if TensorFlow weren't installed.
    KERAS_DETR_SHARED: the folder of the shared sample of real images.
    KERAS_DETR_NO_SKIPS=1: a skipped test fails the run.
"""

import os
import pathlib

from tests.absent_tensorflow import hide_tensorflow

# All of this acts on what Keras and TensorFlow read while they are imported.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
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

NO_SKIPS = "KERAS_DETR_NO_SKIPS"
SEED = 20200526
LONGEST_FILE = pathlib.Path(__file__).parent / "test_backends.py"

# The first word found in the reason of a skip says what was missing. Transformers comes before
# torch because it needs torch too.
REMEDIES = {
    "transformers": "pip install transformers torch",
    "torch": 'pip install "keras_detr[torch]"',
    "jax": 'pip install "keras_detr[jax]"',
    "keras_hub": "pip install keras-hub",
    "onnx": 'pip install "keras_detr[export]"',
    "ai_edge_litert": 'pip install "keras_detr[export]"',
    "tensorflow": "pip install tensorflow",
    "nbclient": 'pip install -e ".[test]"',
    "tensorboard": "pip install tensorboard",
    "real images": "put them into ../shared/data, or set KERAS_DETR_SHARED to the folder of data",
}

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

    The tests that run a backend's whole suite come first: at the end one process would wait for the
    other.
    """
    items.sort(key=lambda item: item.path != LONGEST_FILE)
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_gpu and not has_gpu():
        items[:] = [item for item in items if item not in on_gpu]
        config.hook.pytest_deselected(items=on_gpu)


def pytest_terminal_summary(terminalreporter):
    """List last what was skipped, and the command to get each missing part."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    groups = {}
    for report in skipped:
        reason = skip_reason(report)
        remedy = next((REMEDIES[word] for word in REMEDIES if word in reason), "")
        groups.setdefault(remedy or reason, []).append(reason)
    terminalreporter.ensure_newline()
    terminalreporter.section("skipped, and how to run it")
    for remedy, reasons in sorted(groups.items()):
        count = "1 skip" if len(reasons) == 1 else f"{len(reasons)} skips"
        terminalreporter.write_line(f"{count}, {reasons[0]} -> {remedy}")
    if os.environ.get(NO_SKIPS) == "1":
        terminalreporter.write_line(f"{NO_SKIPS}=1: the run fails, because of skips", red=True)


def pytest_sessionfinish(session):
    """Fail a run that may not skip; with pytest-xdist the controller knows of all skips."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    is_worker = hasattr(session.config, "workerinput")
    if is_worker or reporter is None or os.environ.get(NO_SKIPS) != "1":
        return
    if reporter.stats.get("skipped") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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


def skip_reason(report):
    """Return why a test or a module was skipped."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")
