"""Two devices under `tf.distribute` compute what one does."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

BATCHES = [
    ("detr", "unequal"),
    ("detr", "a replica without"),
    ("detr", "none"),
    ("deformable", "a replica without"),
]


@pytest.mark.slow
def test_two_devices_give_the_loss_and_gradients_of_one(tmp_path):
    """One process computes all of it."""
    pytest.importorskip("tensorflow", reason="tensorflow isn't installed")
    run = subprocess.run(
        [sys.executable, "-m", "tests.losses.two_devices", str(tmp_path)],
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    for family, batch in BATCHES:
        one, two = (np.load(tmp_path / f"{family} {batch} {i}.npz") for i in (1, 2))
        assert set(one) == set(two)
        assert one["total"] > 0
        assert np.abs(one["logits"]).max() > 0
        assert (np.abs(one["boxes"]).max() > 0) == (batch != "none")
        for name in one:
            # Sums over replicas run in another order.
            largest = np.abs(one[name]).max()
            np.testing.assert_allclose(
                two[name], one[name], rtol=1e-5, atol=1e-6 * largest, err_msg=f"{batch}: {name}"
            )
