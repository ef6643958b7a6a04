"""What denoising queries may attend to, beside transformers' RT-DETR."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from keras import ops

from keras_detr import ContrastiveDenoising

# The objects of each image, the matching queries, and the positive denoising queries at most.
CASES = (
    ((7, 3), 20, 100),
    ((5, 0), 20, 100),
    ((1,), 4, 100),
    ((150, 2), 10, 100),
    ((3, 1, 0), 7, 12),
)


def mask_of(counts, num_matching, num_denoising):
    """Return our mask, denoising queries moved to the front as RT-DETR has them."""
    layer = ContrastiveDenoising(num_denoising)
    layer.build((5, 8))
    boxes = np.full((len(counts), max(counts), 4), 0.5, "float32")
    classes = np.where(np.arange(max(counts)) < np.array(counts)[:, None], 0, -1)
    mask = ops.convert_to_numpy(layer(boxes, classes, num_matching_queries=num_matching)[2])[0]
    return np.roll(mask, (-num_matching, -num_matching), axis=(0, 1))


@pytest.mark.slow
def test_masks_equal_those_of_rt_detr(tmp_path):
    for name in ("torch", "transformers"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} isn't installed")
    file = tmp_path / "masks.npz"
    run = subprocess.run(
        [sys.executable, "-m", "tests.layers.rt_detr_masks", str(file), json.dumps(CASES)],
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    with np.load(file) as masks:
        for case, expected in zip(CASES, masks.values(), strict=True):
            np.testing.assert_array_equal(mask_of(*case), expected, err_msg=str(case))
