"""One contender in a process of its own: builds its program, then runs it whenever it is told to.

Started by contest.py. Reads a line from standard input for each run, and answers with one line of
JSON: what it is missing, the seconds that a run took, of the clock and of the processor's cores
together, or at the end the memory it has used. A program that returns a float has measured its
seconds of the clock itself.
"""

import importlib
import json
import os
import pathlib
import re
import sys
import time

# For what contenders take from `examples` and `tests`.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))


def memory_of_gpu():
    """Return the GB of a GPU that this process holds, and the most it has had; else `None`."""
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch and torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.memory_allocated() / 2**30, torch.cuda.max_memory_allocated() / 2**30
    if jax and jax.default_backend() != "cpu":
        statistics = jax.local_devices()[0].memory_stats()
        return statistics["bytes_in_use"] / 2**30, statistics["peak_bytes_in_use"] / 2**30
    return None


def memory_of_host():
    """Return the most memory, in GB, that this process has had, twice; NaN outside of Linux."""
    # Not `resource.getrusage`, which counts the process that started this one.
    try:
        status = pathlib.Path("/proc/self/status").read_text()
    except OSError:
        return (float("nan"),) * 2
    return (int(re.search(r"VmHWM:\s*(\d+) kB", status).group(1)) / 2**20,) * 2


def main():
    work, name, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    # Libraries print to standard output; the answers go to where it was.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**content):
        print(json.dumps(content), file=answers)

    module = importlib.import_module(f"works.{work}")
    try:
        program = module.CONTENDERS[name](**settings)
    except ImportError as error:
        answer(missing=str(error))
        return
    measure = memory_of_host if memory_of_gpu() is None else memory_of_gpu
    before = measure()[0]
    answer(ready=True)
    for _ in sys.stdin:
        start, processor_start = time.perf_counter(), time.process_time()
        own_seconds = program()
        all_seconds = time.perf_counter() - start
        processor_seconds = time.process_time() - processor_start
        has_measured = isinstance(own_seconds, float)
        answer(
            seconds=own_seconds if has_measured else all_seconds,
            all_seconds=all_seconds,
            processor_seconds=processor_seconds,
        )
    answer(memory=measure()[1] - before)


if __name__ == "__main__":
    main()
