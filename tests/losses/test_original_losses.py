"""The loss beside transformers' copy of the original, with gradients to logits and boxes."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from keras_detr.losses import HungarianLoss
from tests.losses.detection_batches import (
    COUNTS_BESIDE_ORIGINAL,
    batch_beside_original,
    pad,
    split_layers,
)
from tests.losses.test_hungarian_loss import loss_and_gradients, parts_of

NAMES = {"loss_ce": "classification_loss", "loss_bbox": "box_loss", "loss_giou": "giou_loss"}


# The in-graph solver's cost on many objects is compared to SciPy's in a compiled program;
# operation by operation it takes minutes.
CASES = [(name, "host") for name in COUNTS_BESIDE_ORIGINAL] + [("as in COCO", "in_graph")]


@pytest.mark.slow
def test_parts_and_gradients_equal_the_original(tmp_path):
    """One process computes all of the original's."""
    for name in ("torch", "transformers"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} isn't installed")
    run = subprocess.run(
        [sys.executable, "-m", "tests.losses.original_losses", str(tmp_path)],
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    for name, assignment in CASES:
        check_equal(np.load(tmp_path / f"{name}.npz"), name, assignment)


def check_equal(expected, name, assignment):
    objects, logits, boxes = batch_beside_original(name)
    loss = HungarianLoss.detr(assignment=assignment)
    total, gradients = loss_and_gradients(loss, pad(objects), logits, boxes)
    parts = parts_of(loss, pad(objects), split_layers(logits, boxes))
    assert total == pytest.approx(sum(float(expected[part]) for part in NAMES), rel=1e-5)
    for of_original, ours in NAMES.items():
        assert parts[ours] == pytest.approx(float(expected[of_original]), rel=1e-5)
    assert parts["cardinality_error"] == pytest.approx(float(expected["cardinality_error"]))
    for key, gradient in zip(("logits", "boxes"), gradients, strict=True):
        largest = np.abs(expected[key]).max()
        assert (largest > 0) == (key == "logits" or "no image" not in name)
        assert np.abs(gradient - expected[key]).max() <= 1e-5 * largest
