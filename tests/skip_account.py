"""The account of what a run skipped: how to get it, and what may not be skipped.

Hooks of pytest, which tests/conftest.py takes over.

Environment variables:
    KERAS_DETR_NO_SKIPS=1: a skipped test fails the run.
    KERAS_DETR_SKIPPED: a file that gets the names of skipped tests, a line each. `pytest @file`
        runs them where what they need is installed.
"""

import os
import pathlib

import pytest

NO_SKIPS = "KERAS_DETR_NO_SKIPS"
SKIPPED = "KERAS_DETR_SKIPPED"

# The first word found in the reason of a skip says what was missing. Transformers comes before
# torch because it needs torch too.
REMEDIES = {
    "transformers": "pip install transformers torch",
    "torch": 'pip install "keras_detr[torch]"',
    "jax": 'pip install "keras_detr[jax]"',
    "keras_hub": "pip install keras-hub",
    "onnx": 'pip install "keras_detr[export]"',
    "ai_edge_litert": 'pip install "keras_detr[export]"',
    "supervision": 'pip install "keras_detr[supervision]"',
    "pandas": 'pip install "keras_detr[pandas]"',
    "tensorflow": "pip install tensorflow",
    "nbclient": 'pip install -e ".[test]"',
    "tensorboard": "pip install tensorboard",
    "real images": "put them into ../shared/data, or set KERAS_DETR_SHARED to the folder of data",
}


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
    """Note what was skipped, and fail a run that may not skip.

    With pytest-xdist the controller knows of all skips.
    """
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if hasattr(session.config, "workerinput") or reporter is None:
        return
    skipped = reporter.stats.get("skipped", [])
    if SKIPPED in os.environ:
        names = "".join(f"{report.nodeid}\n" for report in skipped)
        pathlib.Path(os.environ[SKIPPED]).write_text(names, encoding="utf-8")
    if skipped and os.environ.get(NO_SKIPS) == "1" and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def skip_reason(report):
    """Return why a test or a module was skipped."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")
