"""Several devices and processes of JAX and of TensorFlow compute what one does."""

import importlib.util
import time

import numpy as np
import pytest

import keras_detr
from tests.datasets.folders_of_layouts import write_coco
from tests.devices.processes import finish, script, start
from tests.quick_compilation import XLA_FLAGS

pytestmark = pytest.mark.slow
SQUARE = (48, 48), [(0, 16, 12, 48, 36), (1, 6, 8, 24, 32)]
BACKENDS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(name) is None, reason=f"{name} isn't installed"
        ),
    )
    for name in ("tensorflow", "jax")
]


def assert_same(found, expected, names):
    for name in names:
        largest = np.abs(expected[name]).max()
        np.testing.assert_allclose(
            found[name], expected[name], rtol=1e-5, atol=1e-5 * max(1.0, largest), err_msg=name
        )


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_devices_compute_what_one_does(backend, tmp_path):
    check_devices(backend, "detr_segmenter", tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax isn't installed")
def test_several_devices_denoise_as_one_does(tmp_path):
    """On TensorFlow, tests/models/test_distribution.py compares them."""
    check_devices("jax", "dino_detr", tmp_path)


def check_devices(backend, detector, tmp_path):
    flags = f"{XLA_FLAGS} --xla_force_host_platform_device_count=4"
    arguments = detector, str(tmp_path)
    processes = start(script("devices"), 1, tmp_path, backend, *arguments, XLA_FLAGS=flags)
    finish(processes, tmp_path)
    one, several = (np.load(tmp_path / f"{name}.npz") for name in ("one", "several"))
    assert abs(one["fit loss"][1] - one["fit loss"][0]) > 0.1  # The weights have moved.
    assert set(one) == set(several)
    names = set(one) - {"is divided"}
    if len(names) < len(one):
        assert not one["is divided"]
        assert several["is divided"]
    assert_same(several, one, names)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_process_dies_and_the_training_goes_on(backend, tmp_path):
    """Of two processes one is killed; started again, they end as one process does."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    code = script("several_processes")
    one = start(code, 1, alone, backend, str(alone), "live", XLA_FLAGS=XLA_FLAGS)
    first, second = start(code, 2, together, backend, str(together), "die", XLA_FLAGS=XLA_FLAGS)
    second.wait(240)
    begin = time.monotonic()
    first.wait(240)
    assert time.monotonic() - begin < 60
    assert first.returncode != 0
    errors = (together / "0.err").read_text(errors="replace")
    assert "This was process 0 of 2" in errors
    assert "Start all of them again" in errors
    assert [path.name for path in (together / "backup").iterdir()] == ["00000000"]
    shown = finish(one, alone)
    assert "Epoch 3" in shown[0]

    again = start(code, 2, together, backend, str(together), "live", XLA_FLAGS=XLA_FLAGS)
    shown = finish(again, together)
    assert "Epoch 2/3" in shown[0]
    assert "Epoch 1/3" not in shown[0]
    assert "Epoch" not in shown[1]
    expected, *found = (
        np.load(path) for path in (alone / "0.npz", *sorted(together.glob("*.npz")))
    )
    assert len(found) == 2
    assert "fit val_AP" in expected
    names = [name for name in expected if not name.startswith("predict")]
    for index, own in enumerate(found):
        assert_same(own, expected, names)
        for name in ("predict boxes", "predict confidence"):
            # Each process has predicted images of its own.
            assert len(own[name]) == 3
            if index == 0:
                assert_same(own, expected, [name])
    assert not np.allclose(found[0]["predict boxes"], found[1]["predict boxes"])
    assert (together / "log.csv").read_text().count("\n") == 4
    model = keras_detr.load(together / "model.keras")
    np.testing.assert_array_equal(model.trainable_variables[0], found[0]["weight 0"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_processes_that_read_their_own_rows_train_as_one(backend, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    write_coco(
        data,
        {
            "train": dict.fromkeys(("a.png", "b.png", "c.png", "d.png", "e.png"), SQUARE),
            "valid": {"f.png": SQUARE},
        },
    )
    running = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        arguments = str(data), str(folder)
        running.append(
            (
                start(script("own_rows"), count, folder, backend, *arguments, XLA_FLAGS=XLA_FLAGS),
                folder,
            )
        )
    for processes, folder in running:
        finish(processes, folder)
    expected = np.load(tmp_path / "1" / "0.npz")
    for index in range(2):
        found = np.load(tmp_path / "2" / f"{index}.npz")
        assert set(found) == set(expected)
        assert_same(found, expected, expected)
