"""What one backend saves, every backend loads."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

from keras_detr.models import SetPredictionDetector
from tests.one_program import outputs_of
from tests.quick_compilation import kept_programs

from .detectors import DETECTORS, inputs_of, tiny_batch

REPOSITORY = pathlib.Path(__file__).parents[2]
BACKENDS = ("tensorflow", "jax", "torch")


def run_on(backend, programs, *arguments):
    """Run the script beside this file on a backend, and return what it printed.

    `programs` is a folder that keeps programs from run to run.
    """
    run = subprocess.run(
        # A warning would say that something in a file was skipped.
        [sys.executable, "-W", "error::UserWarning", "-m", "tests.models.across_backends"]
        + [str(argument) for argument in arguments],
        cwd=REPOSITORY,
        env={**os.environ, **kept_programs(programs), "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout.splitlines()


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def saved(tmp_path_factory, programs):
    """Give the folder of each backend, filled by it."""
    for backend in BACKENDS:
        if importlib.util.find_spec(backend) is None:
            pytest.skip(f"{backend} isn't installed")
    folders = {backend: tmp_path_factory.mktemp(backend) / "saved" for backend in BACKENDS}
    for backend, folder in folders.items():
        run_on(backend, programs, "save", folder)
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_files_of_every_backend_load(saved, programs, backend):
    rows = json.loads(run_on(backend, programs, "load", *saved.values())[-1])
    assert len(rows) == len(BACKENDS) * 2 * 3
    for row in rows:
        # In pixels of an image of 64 by 96.
        assert row["boxes"] < 1e-4, row
        assert row.get("state", 0) == 0, row
        # The loss is about 15.
        assert row["loss"] < 1e-4, row


@pytest.mark.every_backend
def test_the_layout_of_a_file_is_the_same_on_every_backend(tmp_path):
    model = DETECTORS["detr"].build()
    model.compile()
    model.optimizer.build(model.trainable_variables)
    model.save_weights(tmp_path / "model.weights.h5")
    with h5py.File(tmp_path / "model.weights.h5") as file:
        assert set(file) == {
            *("box_head", "class_head", "decoder", "encoder", "layers", "optimizer", "vars")
        }
        parts = {"res_net_backbone", "set_prediction_decoder", "single_scale_neck"}
        assert set(file["layers"]) == parts
        # Once, whatever the classes of the optimizers of the groups are.
        assert set(file["optimizer"]) == {"vars"}
        assert len(file["optimizer/vars"]) == len(model.optimizer.variables)


@pytest.mark.every_backend
def test_files_of_earlier_versions_load(tmp_path, monkeypatch):
    model = DETECTORS["detr"].build()
    model.compile()
    model.train_on_batch(
        inputs_of(tiny_batch(batch_size=2)), tiny_batch(batch_size=2)["bounding_boxes"]
    )
    with monkeypatch.context() as earlier:
        # It hid the sub-layers that torch keeps among its modules, and so they lay elsewhere.
        earlier.setattr(
            SetPredictionDetector,
            "__dir__",
            lambda self: sorted({*object.__dir__(self)} - {"backbone"}),
        )
        earlier.delattr(type(model.optimizer), "__dir__")
        model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    images = tiny_batch(batch_size=2)["images"]
    expected = outputs_of(model, images)
    for name, value in outputs_of(loaded, images).items():
        np.testing.assert_array_equal(value, expected[name])
    for variable, other in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(variable), keras.ops.convert_to_numpy(other)
        )
