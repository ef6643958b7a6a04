"""Contenders run in turns, each in a process of its own, so that a busy machine slows all alike."""

import json
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
        memory: float, GB beyond what the process held before the first run.
    """

    first: float
    seconds: list
    memory: float

    @property
    def median(self):
        return float(np.median(self.seconds))


class Process:
    """Hold a contender's process."""

    def __init__(self, work, name, settings):
        # Open for as long as the process runs.
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, HERE / "contender.py", work, name, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def hear(self):
        """Return the next answer."""
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f"{self.process.args[2:]} stopped:\n{self.log.read()[-3000:]}")
        return json.loads(line)

    def run(self):
        """Run the program once, and return the seconds."""
        print(file=self.process.stdin, flush=True)
        return self.hear()["seconds"]

    def end(self):
        """Return the memory that was used."""
        self.process.stdin.close()
        memory = self.hear()["memory"]
        self.process.wait()
        return memory


def compare(work, contenders, settings, rounds):
    """Run contenders in turns.

    Args:
        work: str, a module of `works`.
        contenders: sequence of str, keys of its `CONTENDERS`.
        settings: dict, arguments of every contender.
        rounds: int, runs of each after the first.

    Returns:
        dict of name to `Figures`; and dict of name to the reason for which one can't run here.
    """
    processes, missing = {}, {}
    try:
        for name in contenders:
            process = Process(work, name, settings)
            answer = process.hear()
            if "missing" in answer:
                missing[name] = answer["missing"]
            else:
                processes[name] = process
        seconds = {name: [] for name in processes}
        for _ in range(rounds + 1):
            for name, process in processes.items():
                seconds[name].append(process.run())
        figures = {
            name: Figures(seconds[name][0], seconds[name][1:], process.end())
            for name, process in processes.items()
        }
    finally:
        for process in processes.values():
            process.process.kill()
    return figures, missing
