"""Eight real images, through TFDS and `fit`, are learned by heart: nothing on the way is broken."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from .quick_compilation import without_quick_compilation

pytest.importorskip("tensorflow", reason="tensorflow isn't installed")


@pytest.mark.realdata
@pytest.mark.slow
def test_eight_images_of_coco_are_learned_by_heart(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "tests.learning_by_heart", str(tmp_path)],
        cwd=pathlib.Path(__file__).parents[1],
        env=without_quick_compilation(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    results = json.loads(run.stdout.splitlines()[-1])
    assert results["deformable_detr"]["steps"] < results["detr"]["steps"]
    # A model that ignores its images can score, but predicts the same boxes for all of them.
    assert all(result["least_change"] > 0.05 for result in results.values())
