"""Devices and processes of TensorFlow: what they compute together, apart, and not at all."""

import importlib.util

import numpy as np
import pytest

from tests.devices.processes import finish, script, start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is None, reason="tensorflow isn't installed"
    ),
]


def test_two_processes_compute_what_one_does(tmp_path):
    """Logs and weights after two epochs with denoising queries, and predictions."""
    running = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        code = script("tensorflow_processes")
        running.append((start(code, count, folder, "tensorflow", str(folder)), folder))
    for processes, folder in running:
        finish(processes, folder)
    expected = np.load(tmp_path / "1" / "0.npz")
    assert expected["fit loss"][0] != expected["fit loss"][1]
    for index in range(2):
        found = np.load(tmp_path / "2" / f"{index}.npz")
        assert set(found) == set(expected)
        for key in expected:
            # Each process predicts images of its own: the second, one more.
            own = found[key][:2] if key.startswith("predict") else found[key]
            tolerance = 1e-5 * max(1.0, np.abs(expected[key]).max())
            np.testing.assert_allclose(own, expected[key], rtol=1e-5, atol=tolerance, err_msg=key)
        assert len(found["predict boxes"]) == 2 + index


def test_devices_predict_any_number_of_images_and_refuse_what_they_cannot(tmp_path):
    finish(start(script("tensorflow_devices"), 1, tmp_path, "tensorflow"), tmp_path)
