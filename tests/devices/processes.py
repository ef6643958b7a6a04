"""Start several processes of one script that work together on 127.0.0.1."""

import os
import pathlib
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]


def script(name):
    """Return the text of a script of this folder, for `start`."""
    return (pathlib.Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")


def start(script, count, folder, backend, *arguments, **environment):
    """Start a script in several processes.

    Args:
        script: str, Python. Its environment has KERAS_BACKEND, PROCESS_INDEX, PROCESS_COUNT, and
            ADDRESSES: comma-separated "127.0.0.1:port", one for each process.
        count: int, of processes.
        folder: path, where their outputs go: "0.out", "0.err" and so on.
        backend: str, the Keras backend.
        *arguments: str, of the script.
        **environment: str, more environment variables.

    Returns:
        list of `subprocess.Popen`.
    """
    folder = pathlib.Path(folder)
    common = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "PROCESS_COUNT": str(count),
        "ADDRESSES": ",".join(f"127.0.0.1:{port}" for port in free_ports(count)),
        **environment,
    }
    processes = []
    for index in range(count):
        with open(folder / f"{index}.out", "w") as out, open(folder / f"{index}.err", "w") as err:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-W", "ignore", "-c", script, *arguments],
                    cwd=ROOT,
                    env={**common, "PROCESS_INDEX": str(index)},
                    stdout=out,
                    stderr=err,
                )
            )
    return processes


def finish(processes, folder, timeout=240, expected=0):
    """Wait for all processes, and return what each has printed.

    Args:
        processes: list of `subprocess.Popen`.
        folder: as `start` got it.
        timeout: float, seconds; then they are killed, and the test fails.
        expected: int or None: the exit code of all, or that none is right.
    """
    end = time.monotonic() + timeout
    try:
        codes = [process.wait(max(0.1, end - time.monotonic())) for process in processes]
    except subprocess.TimeoutExpired:
        codes = ["killed after a timeout"]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    texts = {
        path.name: path.read_text(errors="replace")
        for path in sorted(pathlib.Path(folder).glob("?.[oe]*"))
    }
    told = "\n".join(f"--- {name}\n{text[-3000:]}" for name, text in texts.items())
    is_right = all(code != 0 if expected is None else code == expected for code in codes)
    assert is_right, f"exit codes {codes}\n{told}"
    return [texts[f"{index}.out"] for index in range(len(processes))]


def free_ports(count):
    """Return ports of 127.0.0.1 that nothing uses, a list of int."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
