"""The account of what was skipped, and the runs in which nothing may be."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).parent

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

def test_of_real_images():
    pytest.skip("the shared sample of real images isn't here")
"""

LEFT_OUT = """
import pytest

@pytest.mark.gpu
def test_of_a_gpu():
    raise AssertionError("there is none")

@pytest.mark.realdata
def test_of_real_images(shared_data):
    raise AssertionError("there are none")
"""

# The account alone, in place of a conftest.py that imports Keras.
ONLY_THE_ACCOUNT = "from tests.skip_account import pytest_sessionfinish, pytest_terminal_summary"


@pytest.fixture
def run_tests(tmp_path):
    """Return a function that runs pytest on the tests above, with this project's account."""
    folder = tmp_path / "tests"
    folder.mkdir()
    names = ("absent_tensorflow", "quick_compilation", "shared_data", "skip_account", "__init__")
    for name in names:
        shutil.copy(TESTS / f"{name}.py", folder)
    shutil.copy(TESTS.parent / "pyproject.toml", tmp_path)

    def run(source, *options, conftest=ONLY_THE_ACCOUNT, **environment):
        (folder / "conftest.py").write_text(conftest)
        (folder / "test_sample.py").write_text(source)
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
    result = run_tests(PASSING + SKIPPING, "-n", "0")
    assert result.returncode == 0, result.stdout
    *_, title, torch, transformers, images, summary = result.stdout.splitlines()
    assert "skipped, and how to run it" in title
    assert torch == '1 skip, torch isn\'t installed -> pip install "keras_detr[torch]"'
    assert transformers.endswith("-> pip install transformers torch")
    assert "KERAS_DETR_SHARED" in images
    assert "1 passed, 3 skipped" in summary


@pytest.mark.parametrize("options", [("-n", "0"), ("-n", "2")], ids=["one process", "workers"])
def test_a_skip_fails_a_run_that_may_not_skip(run_tests, options):
    result = run_tests(PASSING + SKIPPING, *options, KERAS_DETR_NO_SKIPS="1")
    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    assert "KERAS_DETR_NO_SKIPS=1: the run fails" in result.stdout


def test_a_module_that_skips_as_a_whole_counts_too(run_tests):
    source = 'import pytest\npytest.importorskip("jax_that_is_missing")' + PASSING
    result = run_tests(source, "-n", "0", KERAS_DETR_NO_SKIPS="1")
    assert result.returncode != 0
    assert '-> pip install "keras_detr[jax]"' in result.stdout


def test_skipped_tests_run_again_by_name(run_tests, tmp_path):
    names = tmp_path / "skipped.txt"
    result = run_tests(PASSING + SKIPPING, "-n", "2", KERAS_DETR_SKIPPED=str(names))
    assert result.returncode == 0, result.stdout
    assert sorted(names.read_text().splitlines()) == [
        f"tests/test_sample.py::test_of_{what}" for what in ("a_backend", "a_peer", "real_images")
    ]
    installed = (PASSING + SKIPPING).replace("pytest.skip(", "str(")
    result = run_tests(installed, f"@{names}", "-n", "0")
    assert "1 passed, 2 skipped" in result.stdout.splitlines()[-1]


@pytest.mark.slow
def test_a_gpu_test_is_left_out_and_one_of_real_images_skipped(run_tests):
    # The workers of pytest-xdist don't report what they left out.
    conftest = (TESTS / "conftest.py").read_text()
    result = run_tests(PASSING + LEFT_OUT, "-n", "0", conftest=conftest)
    assert result.returncode == 0, result.stdout
    assert "1 passed, 1 skipped, 1 deselected" in result.stdout.splitlines()[-1]
