"""The account of what was skipped, and the runs in which nothing may be."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).parent

pytestmark = pytest.mark.slow

PASSING = """
def test_passes():
    pass
"""

SKIPPING = """
import pytest

def test_of_a_backend():
    pytest.importorskip("torch_that_is_missing", reason="torch isn't installed")

def test_of_a_peer():
    pytest.importorskip("transformers_that_are_missing")

@pytest.mark.realdata
def test_of_real_images(shared_data):
    raise AssertionError("there are none")
"""

ON_A_GPU = """
import pytest

@pytest.mark.gpu
def test_of_a_gpu():
    raise AssertionError("there is none")
"""

# What starts fastest; which backend runs doesn't matter to the account.
QUICK = {"KERAS_BACKEND": "numpy", "KERAS_DETR_BLOCK_TENSORFLOW": "1"}


@pytest.fixture
def run_tests(tmp_path):
    """Return a function that runs pytest on the tests above, with this project's conftest.py."""
    (tmp_path / "tests").mkdir()
    for name in ("__init__.py", "absent_tensorflow.py", "conftest.py", "shared_data.py"):
        shutil.copy(TESTS / name, tmp_path / "tests")
    shutil.copy(TESTS.parent / "pyproject.toml", tmp_path)

    def run(source, *options, **environment):
        (tmp_path / "tests" / "test_sample.py").write_text(source)
        inherited = {
            key: value
            for key, value in os.environ.items()
            # A run of its own, even if this one is a worker of pytest-xdist.
            if not key.startswith(("PYTEST_", "KERAS_DETR_"))
        }
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
            cwd=tmp_path,
            env={**inherited, "CUDA_VISIBLE_DEVICES": "", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_last_lines_say_how_to_get_what_was_skipped(run_tests):
    result = run_tests(PASSING + SKIPPING, "-n", "0", **QUICK)
    assert result.returncode == 0, result.stdout
    *_, title, torch, transformers, images, summary = result.stdout.splitlines()
    assert "skipped, and how to run it" in title
    assert torch == '1 skip, torch isn\'t installed -> pip install "keras_detr[torch]"'
    assert transformers.endswith("-> pip install transformers torch")
    assert "KERAS_DETR_SHARED" in images
    assert "1 passed, 3 skipped" in summary


@pytest.mark.parametrize("options", [("-n", "0"), ("-n", "2")], ids=["one process", "workers"])
def test_a_skip_fails_a_run_that_may_not_skip(run_tests, options):
    result = run_tests(PASSING + SKIPPING, *options, KERAS_DETR_NO_SKIPS="1", **QUICK)
    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    assert "KERAS_DETR_NO_SKIPS=1: the run fails" in result.stdout


def test_a_module_that_skips_as_a_whole_counts_too(run_tests):
    source = 'import pytest\npytest.importorskip("jax_that_is_missing")' + PASSING
    result = run_tests(source, "-n", "0", KERAS_DETR_NO_SKIPS="1", **QUICK)
    assert result.returncode != 0
    assert '-> pip install "keras_detr[jax]"' in result.stdout


def test_a_gpu_test_is_left_out_not_skipped(run_tests):
    # The workers of pytest-xdist don't report what they left out.
    result = run_tests(PASSING + ON_A_GPU, "-n", "0", KERAS_DETR_NO_SKIPS="1")
    assert result.returncode == 0, result.stdout
    assert "1 passed, 1 deselected" in result.stdout.splitlines()[-1]
