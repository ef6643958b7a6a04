"""Repeat on every other backend what is written with `keras.ops` only.

This process runs TensorFlow, and a process has one backend; so pytest runs again for each other
backend as if TensorFlow weren't installed, in parts that two processes can share, and once beside
TensorFlow.
"""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

from .quick_compilation import kept_programs

TESTS = pathlib.Path(__file__).parent
MARK = "pytest.mark.every_backend"

# Into how many parts the files are divided. JAX takes four times as long as torch; each part starts
# anew, and compiles anew what others have compiled.
PARTS = {"jax": 2, "torch": 1}

# Beside TensorFlow the models' base classes are others, KerasCV's: what a task promises is asked
# again there of one detector, what its parts compute isn't.
BESIDE_TENSORFLOW = ("test_raw_images.py", "test_task_contract.py", "test_saved_preset.py")
# Raw images are resized by TensorFlow, whatever the backend is.
ONLY_BESIDE_TENSORFLOW = ("test_raw_images.py",)

# A mark that goes missing by mistake must not go unnoticed.
LEAST_TESTS = 1000
LEAST_TESTS_BESIDE_TENSORFLOW = 13


def marked_files(folder):
    """Return the test files with marked tests; others may need TensorFlow to be imported at all."""
    files = sorted(folder.rglob("test_*.py"))
    return [f for f in files if f != pathlib.Path(__file__) and MARK in f.read_text()]


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Return the variables of all repetitions that this process starts, which share programs.

    JAX reads files that are half written, so the other process has a folder of its own.
    """
    return {**os.environ, **kept_programs(tmp_path_factory.mktemp("programs"))}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "part"), [(name, part) for name in PARTS for part in range(PARTS[name])]
)
def test_marked_tests_pass(backend, part, environment):
    files = [file for file in marked_files(TESTS) if file.name not in ONLY_BESIDE_TENSORFLOW]
    # Neighbours, which often take equally long, go to different parts.
    files = files[part :: PARTS[backend]]
    environment = {**environment, "KERAS_DETR_BLOCK_TENSORFLOW": "1"}
    run_marked_tests(backend, files, environment, LEAST_TESTS // PARTS[backend])


@pytest.mark.slow
@pytest.mark.parametrize("backend", PARTS)
def test_marked_tests_pass_beside_tensorflow(backend, environment):
    files = [file for file in marked_files(TESTS) if file.name in BESIDE_TENSORFLOW]
    options = ["-k", "not deformable_detr and not dino_detr"]
    run_marked_tests(backend, files, environment, LEAST_TESTS_BESIDE_TENSORFLOW, options)


def run_marked_tests(backend, files, environment, least_tests, options=()):
    """Run the marked tests of some files in a process of their own."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} isn't installed")
    options = [
        *options,
        "-m",
        "every_backend and not once",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        "0",
        "--durations=30",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *map(str, files)],
        cwd=TESTS.parent,
        env={**environment, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    print(run.stdout[-8000:])
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    passed = int(re.search(r"(\d+) passed", run.stdout).group(1))
    assert passed >= least_tests
    assert " skipped" not in run.stdout.splitlines()[-1]
