"""The loss beside transformers' copies of the originals, with gradients to logits and boxes."""

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
    TOKENS_BESIDE_ORIGINAL,
    batch_beside_original,
    pad,
    split_layers,
)
from tests.losses.test_hungarian_loss import loss_and_gradients, parts_of

NAMES = {"loss_ce": "classification_loss", "loss_bbox": "box_loss", "loss_giou": "giou_loss"}
BUILDERS = {"detr": HungarianLoss.detr, "deformable": HungarianLoss.deformable_detr}
# The in-graph solver's cost on many objects is compared to SciPy's in a compiled program;
# operation by operation it takes minutes.
CASES = [(family, name, "host") for family in BUILDERS for name in COUNTS_BESIDE_ORIGINAL]
CASES.append(("detr", "as in COCO", "in_graph"))


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
    for family, name, assignment in CASES:
        check_equal(np.load(tmp_path / f"{family} {name}.npz"), family, name, assignment)


def check_equal(expected, family, name, assignment):
    names, num_tokens = NAMES, 0
    if family == "deformable":
        # Two-stage: the encoder's parts are there too.
        names = NAMES | {f"{of_original}_enc": f"encoder_{n}" for of_original, n in NAMES.items()}
        num_tokens = TOKENS_BESIDE_ORIGINAL[name]
    objects, *predictions = batch_beside_original(name, num_tokens)
    loss = BUILDERS[family](assignment=assignment)
    total, gradients = loss_and_gradients(loss, pad(objects), *predictions)
    parts = parts_of(loss, pad(objects), split_layers(*predictions))
    assert total == pytest.approx(sum(float(expected[part]) for part in names), rel=1e-5)
    for of_original, ours in names.items():
        assert parts[ours] == pytest.approx(float(expected[of_original]), rel=1e-5)
    assert parts["cardinality_error"] == pytest.approx(float(expected["cardinality_error"]))
    for i, gradient in enumerate(gradients):
        of_original = expected[f"gradient_{i}"]
        largest = np.abs(of_original).max()
        # Logits come first, then boxes, which have a gradient where there are objects.
        assert (largest > 0) == (i % 2 == 0 or "no image" not in name)
        assert np.abs(gradient - of_original).max() <= 1e-5 * largest
