"""Processes of torch.distributed compute what one does, and go on after one was killed."""

import io
import itertools
import re
import sys
import time
import zipfile

import h5py
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch isn't installed")

from tests.devices import processes

pytestmark = pytest.mark.slow

SCRIPT = "from tests.devices.torch_training import {0}; {0}()"
NAMES = ("detr", "dino_detr", "detr_segmenter")


def start(function, count, folder, *arguments, **environment):
    folder.mkdir(exist_ok=True)
    script = SCRIPT.format(function)
    return processes.start(script, count, folder, "torch", *map(str, arguments), **environment)


def figures_of(output):
    """Return losses and AP of the epochs that the example has printed."""
    return np.array(re.findall(r"loss (\S+), AP (\S+)", output), float)


def arrays_of(path):
    """Return the arrays in a .keras file by name, those of the optimizer too."""
    with zipfile.ZipFile(path) as archive:
        stored = io.BytesIO(archive.read("model.weights.h5"))
    found = {}

    def keep(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(stored) as file:
        file.visititems(keep)
    return found


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Return the folder of what one process has found, and two; and what they have printed."""
    folder = tmp_path_factory.mktemp("compared")
    running = {count: start("compare", count, folder / str(count), folder) for count in (1, 2)}
    try:
        return folder, {n: processes.finish(running[n], folder / str(n)) for n in running}
    finally:
        # Where the first have failed, the others still run.
        for process in itertools.chain(*running.values()):
            process.kill()
            process.wait()


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_train_as_one(name, compared):
    folder, outputs = compared
    one, *two = (np.load(folder / f"{file}.npz") for file in ("1-0", "2-0", "2-1"))
    keys = [key for key in one if key.startswith(f"{name} ")]
    assert len(keys) > 100
    for found in two:
        assert set(found) == set(one)
        for kind in ("gradient", "weight", "figures", "curves"):
            of_kind = [key for key in keys if kind in key]
            largest = max(np.nanmax(np.abs(one[key])) for key in of_kind)
            assert largest > 0
            differences = [np.nanmax(np.abs(found[key] - one[key])) for key in of_kind]
            print(f"{name}, {kind}: {max(differences):.1e} of {largest:.1e}")
            # Sums run in another order.
            assert max(differences) <= 1e-5 * max(1.0, largest)
        assert max(np.abs(one[key]).max() for key in keys if "move" in key) > 1e-3
    losses = [figures_of(outputs[count][0]) for count in (1, 2)]
    assert len(losses[0]) == 2 * len(NAMES)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5, atol=1e-6)
    # Only the first process prints.
    assert outputs[2][1] == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_training_of_which_a_process_was_killed_goes_on(compared, tmp_path):
    folder, outputs = compared
    path = tmp_path / "model.keras"
    killed = start("train_on", 2, tmp_path / "killed", path, DOOMED="1")
    assert killed[1].wait(200) == -9
    begin = time.monotonic()
    assert killed[0].wait(60) == 1
    print(f"the other ended after {time.monotonic() - begin:.1f} s")
    message = (tmp_path / "killed" / "0.err").read_text()
    assert "Connection closed by peer" in message or "Connection reset" in message
    expected = outputs[2][0].splitlines()[:2]
    assert (tmp_path / "killed" / "0.out").read_text().splitlines() == expected[:1]
    resumed = start("train_on", 2, tmp_path / "resumed", path)
    output, _ = processes.finish(resumed, tmp_path / "resumed")
    assert output.splitlines() == expected[1:]
    arrays, expected = arrays_of(path), arrays_of(folder / "2-detr.keras")
    assert set(arrays) == set(expected)
    assert any("optimizer" in key for key in arrays)
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, expected[key], err_msg=key)
