"""Contenders run in turns, each in a process of its own, so that a busy machine slows all alike."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import NamedTuple

import numpy as np

HERE = pathlib.Path(__file__).parent


class Figures(NamedTuple):
    """Hold what one contender took.

    Attributes:
        first: float, seconds of the first run, which compiles.
        seconds: list of float, of the runs after it.
        processor_seconds: list of float, of the same runs, of all cores together: other work on
            the machine stretches these less.
        memory: float, GB beyond what the process held before the first run: of a GPU that it
            computes on, or of the machine.
    """

    first: float
    seconds: list
    processor_seconds: list
    memory: float

    @property
    def median(self):
        return float(np.median(self.seconds))


class Stopped(Exception):
    """A contender can't run here, or its process ended before it was done."""


class Process:
    """Hold a contender's process, which starts to build its program.

    Args:
        work: str, a module of `works`.
        name: str, a key of its `CONTENDERS`; followed by " @ " and the name of a backend of Keras
            where this isn't the default one, and by " in " and the path of another checkout of this
            repository where it is to be measured.
        settings: dict, arguments of the contender.
    """

    def __init__(self, work, name, settings):
        # Open for as long as the process runs.
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        name, _, checkout = name.partition(" in ")
        name, _, backend = name.partition(" @ ")
        folder = pathlib.Path(checkout).resolve() / "benchmarks" if checkout else HERE
        # JAX would take most of a GPU's memory, and leave none for the others.
        environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
        if backend:
            environment["KERAS_BACKEND"] = backend
        self.process = subprocess.Popen(
            [sys.executable, folder / "contender.py", work, name, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
        )

    def hear(self):
        """Return the next answer; raises `Stopped` if there will be none."""
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            last_line = self.log.read().rstrip().rpartition("\n")[2]
            raise Stopped(f"it stopped, and said last: {last_line[:300]}")
        return json.loads(line)

    def wait(self):
        """Wait until the program is built; raises `Stopped` if it can't be."""
        answer = self.hear()
        if "missing" in answer:
            raise Stopped(answer["missing"])

    def begin(self):
        """Let the program run once."""
        with contextlib.suppress(BrokenPipeError):
            print(file=self.process.stdin, flush=True)

    def finish_first(self):
        """Wait until it has run for the first time, and return what this took."""
        return self.hear()

    def run_first(self):
        """Run the program for the first time, and return what this took."""
        self.begin()
        return self.finish_first()

    def run(self):
        """Run the program once, and return what this took."""
        self.begin()
        return self.hear()

    def end(self):
        """Return the memory that was used."""
        self.process.stdin.close()
        memory = self.hear()["memory"]
        self.process.wait()
        return memory


def compare(work, contenders, settings, rounds, is_first_run_together=False):
    """Run contenders in turns.

    Args:
        work: str, a module of `works`.
        contenders: sequence of str, names as `Process` takes them.
        settings: dict, arguments of every contender.
        rounds: int, runs of each after the first.
        is_first_run_together: bool, whether all take their first run, which compiles, at once.

    Returns:
        dict of name to `Figures`; and dict of name to the reason for which one can't run here.
    """
    processes, missing = {}, {}

    def each(question):
        """Return the answers of all processes; those that stop are left out from then on."""
        answers = {}
        for name, process in list(processes.items()):
            try:
                answers[name] = question(process)
            except Stopped as reason:
                missing[name] = str(reason)
                del processes[name]
        return answers

    try:
        processes.update({name: Process(work, name, settings) for name in contenders})
        each(Process.wait)
        if is_first_run_together:
            each(Process.begin)
        first = each(Process.finish_first if is_first_run_together else Process.run_first)
        runs = [each(Process.run) for _ in range(rounds)]
        memory = each(Process.end)
    finally:
        for process in processes.values():
            process.process.kill()
    figures = {
        name: Figures(
            first[name]["all_seconds"],
            [run[name]["seconds"] for run in runs],
            [run[name]["processor_seconds"] for run in runs],
            memory[name],
        )
        for name in memory
    }
    return figures, missing
